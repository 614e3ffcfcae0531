package signalrclient

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
)

// Negotiate negotiates as Microsoft's clients do and returns the configuration to connect with. A gateway or an overloaded node
// redirects to another node with a token for it; without a redirect, Negotiate returns c.
func Negotiate(ctx context.Context, client *http.Client, c Config) (Config, error) {
	path := c.Path
	if path == "" {
		path = Path
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(c.URL, "/")+path+"/negotiate?negotiateVersion=1", http.NoBody)
	if err != nil {
		return c, err
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	resp, err := client.Do(req)
	if err != nil {
		return c, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return c, err
	}
	if resp.StatusCode != http.StatusOK {
		return c, &StatusError{resp.StatusCode, string(text)}
	}
	var answer struct{ URL, AccessToken, Error string }
	switch err := json.Unmarshal(text, &answer); {
	case err != nil:
		return c, err
	case answer.Error != "":
		return c, errors.New(answer.Error)
	case answer.URL != "":
		c.URL, c.Token = answer.URL, answer.AccessToken
	}
	return c, nil
}
