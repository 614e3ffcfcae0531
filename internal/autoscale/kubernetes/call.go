package kubernetes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// maxAnswer bounds how much of a response is read; a Scale has a few hundred bytes.
const maxAnswer = 1 << 20

// scaleObject holds the used fields of autoscaling/v1 Scale.
type scaleObject struct {
	Metadata struct {
		ResourceVersion string `json:"resourceVersion"`
	} `json:"metadata"`
	Spec struct {
		Replicas int `json:"replicas"`
	} `json:"spec"`
}

// status is the error response of the API.
type status struct {
	Message string `json:"message"`
}

// call performs one request. A token that was just replaced gets a 401; the request is then repeated with the new one.
func (t *Target) call(ctx context.Context, method string, body []byte) (scaleObject, error) {
	var object scaleObject
	token, err := t.opts.token()
	if err != nil {
		return object, err
	}
	code, answer, err := t.exchange(ctx, method, token, body)
	if err == nil && code == http.StatusUnauthorized {
		fresh, readErr := t.opts.token()
		if readErr == nil && fresh != token {
			code, answer, err = t.exchange(ctx, method, fresh, body)
		}
	}
	if err != nil {
		return object, fmt.Errorf("the API of Kubernetes does not answer: %w", err)
	}
	if code != http.StatusOK {
		return object, t.refusal(code, answer)
	}
	if err := json.Unmarshal(answer, &object); err != nil || object.Metadata.ResourceVersion == "" {
		return object, errors.Join(fmt.Errorf("the API of Kubernetes answers with something else than a Scale: %.100q", answer), err)
	}
	return object, nil
}

func (t *Target) exchange(ctx context.Context, method, token string, body []byte) (code int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, t.url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "esh3ar-scaler")
	if body != nil {
		req.Header.Set("Content-Type", "application/merge-patch+json")
	}
	resp, err := t.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, answer, err
}

// refusal returns an error for a response other than 200, with a hint for the operator.
func (t *Target) refusal(code int, answer []byte) error {
	var said status
	_ = json.Unmarshal(answer, &said) // a proxy in between may answer something else
	text := fmt.Sprintf("the API of Kubernetes answers %d %s", code, http.StatusText(code))
	if said.Message != "" {
		text += ": " + said.Message
	}
	switch code {
	case http.StatusUnauthorized:
		return fmt.Errorf("%s; it does not take the token in %s", text, t.opts.Account)
	case http.StatusForbidden:
		return fmt.Errorf("%s; give the service account the verbs get and patch on statefulsets/scale in %s", text, t.opts.Namespace)
	case http.StatusNotFound:
		return fmt.Errorf("%s; is there a StatefulSet %s in %s?", text, t.opts.Name, t.opts.Namespace)
	case http.StatusConflict:
		return fmt.Errorf("%w: %s", errConflict, text)
	}
	return errors.New(text)
}

// errConflict means that the set was changed after it was read. The next round decides on the new state.
var errConflict = errors.New("somebody else has changed the StatefulSet")
