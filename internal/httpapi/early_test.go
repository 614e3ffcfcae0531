package httpapi_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TestAPI_BodyNotSentWithoutCredential_Answers401 announces bodies and sends nothing of them. The answer must not wait for a body.
func TestAPI_BodyNotSentWithoutCredential_Answers401(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(newNode(t).api)
	t.Cleanup(server.Close)
	for _, path := range []string{"/v1/messages", "/v1/messages/batch", "/admin/v1/device-tokens"} {
		for _, authorization := range []string{"", "Authorization: Bearer esk_none\r\n", "Authorization: Basic eDp5\r\n"} {
			for _, length := range []string{"Content-Length: 20000", "Content-Length: 200000", "Content-Length: 16000000", "Transfer-Encoding: chunked"} {
				conn, err := net.Dial("tcp", server.Listener.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				_ = conn.SetDeadline(time.Now().Add(20 * time.Second)) // bounds a hang
				fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%s%s\r\n\r\n", path, authorization, length)
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				conn.Close()
				if err != nil {
					t.Fatalf("%s, %q, %s: got %v, want an answer", path, authorization, length, err)
				}
				resp.Body.Close()
				if resp.StatusCode != http.StatusUnauthorized {
					t.Errorf("%s, %q, %s: got %d, want 401", path, authorization, length, resp.StatusCode)
				}
			}
		}
	}
}

// TestAPI_BodyNotSentAndRejectedByItsHead_Answers is the same for calls with a credential whose head is reason enough for an error.
func TestAPI_BodyNotSentAndRejectedByItsHead_Answers(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	server := httptest.NewServer(n.api)
	t.Cleanup(server.Close)
	for head, want := range map[string]int{
		"Content-Type: text/plain\r\nContent-Length: 100000":                                   http.StatusUnsupportedMediaType,
		"Content-Type: application/json\r\nContent-Encoding: br\r\nContent-Length: 100000":     http.StatusUnsupportedMediaType,
		"Content-Type: application/json\r\nContent-Length: 140000":                             http.StatusRequestEntityTooLarge,
		"Content-Type: application/json\r\nContent-Encoding: br\r\nTransfer-Encoding: chunked": http.StatusUnsupportedMediaType,
	} {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second)) // bounds a hang
		fmt.Fprintf(conn, "POST /v1/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n%s\r\n\r\n", n.key, head)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		conn.Close()
		if err != nil {
			t.Fatalf("%s: got %v, want an answer", head, err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: got %d, want %d", head, resp.StatusCode, want)
		}
	}
}
