package signalr

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
)

// negotiateReply is what clients read; properties that are absent must be absent.
type negotiateReply struct {
	NegotiateVersion    *int        `json:"negotiateVersion,omitempty"`
	ConnectionID        string      `json:"connectionId,omitempty"`
	ConnectionToken     string      `json:"connectionToken,omitempty"`
	AvailableTransports []transport `json:"availableTransports,omitempty"`
	StatefulReconnect   bool        `json:"useStatefulReconnect,omitempty"`
	URL                 string      `json:"url,omitempty"`
	AccessToken         string      `json:"accessToken,omitempty"`
	Error               string      `json:"error,omitempty"`
}

// maxNegotiateVersion is the newest version; a client that asks for more gets this one.
const maxNegotiateVersion = 1

func (s *Server) negotiate(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		methodNotAllowed(w)
		return
	}
	if s.draining() {
		unavailable(w)
		return
	}
	who, ok := s.authenticate(w, r)
	if !ok {
		return
	}
	reply, status := s.negotiateReply(r, who)
	switch status {
	case http.StatusOK:
		writeJSON(w, reply)
	case http.StatusServiceUnavailable:
		unavailable(w)
	case http.StatusTooManyRequests:
		s.tooMany(w)
	default:
		plain(w, status, http.StatusText(status))
	}
}

func (s *Server) negotiateReply(r *http.Request, who Identity) (negotiateReply, int) {
	if s.opts.OnNegotiate != nil {
		to, err := s.opts.OnNegotiate(r, who)
		var he *HubError
		switch {
		case errors.As(err, &he):
			return negotiateReply{Error: he.Message}, http.StatusOK
		case err != nil:
			s.opts.Logger.Error("signalr: negotiate hook", "error", err)
			return negotiateReply{}, http.StatusInternalServerError
		case to.URL != "":
			return negotiateReply{URL: to.URL, AccessToken: to.AccessToken}, http.StatusOK
		}
	}
	version, failure := s.negotiateVersion(query(r, "negotiateVersion"))
	if failure != "" {
		return negotiateReply{Error: failure}, http.StatusOK
	}
	if s.registry.full(who.UserID, who.Device, &s.opts) || s.pending.count(who.UserID) >= s.opts.Limits.NegotiatedPerUser {
		return negotiateReply{}, http.StatusTooManyRequests
	}
	id := newID()
	if version == 0 {
		id = s.newToken() // clients of old send the id for want of a token
	}
	reply := negotiateReply{NegotiateVersion: &version, ConnectionID: id, AvailableTransports: s.offer}
	token := id
	if version > 0 {
		token = s.newToken()
		reply.ConnectionToken = token
	}
	// Clients that did not ask refuse to start when they are told.
	reply.StatefulReconnect = s.opts.StatefulReconnect && s.opts.Transports&WebSockets != 0 &&
		strings.EqualFold(query(r, "useStatefulReconnect"), "true")
	if !s.pending.add(token, negotiated{id: id, user: who.UserID, stateful: reply.StatefulReconnect}, s.time()) {
		return negotiateReply{}, http.StatusServiceUnavailable
	}
	return reply, http.StatusOK
}

func (s *Server) negotiateVersion(asked string) (version int, failure string) {
	if asked != "" {
		v, err := strconv.Atoi(asked)
		if err != nil {
			return 0, "The client requested a non-integer protocol version."
		}
		version = v
	}
	if version < s.opts.MinProtocolVersion {
		return 0, "The client requested version '" + strconv.Itoa(version) + "', but the server does not support this version."
	}
	return max(0, min(version, maxNegotiateVersion)), ""
}

// newID returns 128 random bits in 22 characters.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, by its documentation
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func writeJSON(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		plain(w, http.StatusInternalServerError, "")
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(b) // the client has gone
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // the client has gone
}

func methodNotAllowed(w http.ResponseWriter) {
	plain(w, http.StatusMethodNotAllowed, "")
}

func unavailable(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "1")
	plain(w, http.StatusServiceUnavailable, "Service Unavailable")
}
