package bench

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"time"
)

// RunBaseline serves a bare net/http handler that decodes the same JSON and answers 202: the upper bound for the rate of
// a REST call. It runs until ctx ends.
func RunBaseline(ctx context.Context, listen string) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.HandlerFunc(serveBaseline), ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // calls in flight need not complete
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func serveBaseline(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/readyz" {
		return
	}
	var message struct{ RecipientPhoneNumber, MessageContent string }
	if err := json.NewDecoder(r.Body).Decode(&message); err != nil || message.MessageContent == "" {
		http.Error(w, "bad", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, _ = w.Write([]byte(`{"id":"01890a5d-ac96-774b-bcce-b302099a8057","status":"queued","seq":1,"durability":"stored"}`))
}
