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

// maxAnswer bounds what is read of an answer; a Scale has some hundred bytes.
const maxAnswer = 1 << 20

// scaleObject is autoscaling/v1 Scale, as far as it matters.
type scaleObject struct {
	Metadata struct {
		ResourceVersion string `json:"resourceVersion"`
	} `json:"metadata"`
	Spec struct {
		Replicas int `json:"replicas"`
	} `json:"spec"`
}

// status is what the API says instead.
type status struct {
	Message string `json:"message"`
}

// call makes one call. A token that was replaced in this moment is answered 401; then the new one is tried.
func (t *Target) call(ctx context.Context, method string, body []byte) (object scaleObject, err error) {
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

// refusal is an answer other than 200, with what an operator can do.
func (t *Target) refusal(code int, answer []byte) error {
	var said status
	_ = json.Unmarshal(answer, &said) // a proxy in between may say something else
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

// errConflict means that somebody has changed the set since it was looked at. The next look decides on what it is now.
var errConflict = errors.New("somebody else has changed the StatefulSet")
