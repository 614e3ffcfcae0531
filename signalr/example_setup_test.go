package signalr_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/esh3artech/esh3ar/signalr"
)

// JSON Web Tokens identify the users of a hub. When a token expires, its connection is closed and the client may reconnect.
func ExampleBearerToken() {
	secret := []byte("an example's secret of 32 bytes!")
	authenticate := func(r *http.Request) (signalr.Identity, error) {
		var claims jwt.RegisteredClaims
		_, err := jwt.ParseWithClaims(signalr.BearerToken(r), &claims, func(*jwt.Token) (any, error) { return secret, nil },
			jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired())
		if err != nil {
			return signalr.Identity{}, err
		}
		return signalr.Identity{UserID: claims.Subject, Expires: claims.ExpiresAt.Time}, nil
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	server := signalr.NewServer(signalr.NewHub(), signalr.Options{Authenticate: authenticate})
	go func() { _ = server.Run(ctx) }()

	token, _ := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		Subject: "ada", ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Hour)),
	}).SignedString(secret)
	for _, authorization := range []string{"Bearer " + token, "Bearer guess"} {
		r := httptest.NewRequest(http.MethodPost, "/hub/negotiate?negotiateVersion=1", nil)
		r.Header.Set("Authorization", authorization)
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	// Output:
	// 200
	// 401
}

// A process that shuts down refuses new connections first, then closes the others at a steady rate so that they reconnect.
// It shuts down its http.Server last, because that would wait for the connections.
func ExampleServer_Shutdown() {
	server := signalr.NewServer(signalr.NewHub(), signalr.Options{})
	ended := make(chan error, 1)
	go func() { ended <- server.Run(context.Background()) }()
	front := &http.Server{Handler: server, ReadHeaderTimeout: 10 * time.Second}

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	fmt.Println(errors.Join(server.Shutdown(ctx), front.Shutdown(ctx)))
	if err := <-ended; err != nil && !errors.Is(err, signalr.ErrServerStopped) {
		fmt.Println(err)
	}
	// Output: <nil>
}

// rooms is a struct of handlers.
type rooms struct{ greeting string }

func (r *rooms) Greet(_ *signalr.Call, name string) (string, error) {
	return r.greeting + name, nil
}

func (r *rooms) Move(_ *signalr.Call, piece string, fromX, fromY, toX, toY int) error {
	return signalr.Errorf("%s cannot move from %d/%d to %d/%d", piece, fromX, fromY, toX, toY)
}

func (r *rooms) Count(_ *signalr.Call, n int) (iter.Seq2[int, error], error) {
	return func(yield func(int, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				return
			}
		}
	}, nil
}

func ExampleHub_HandleMethods() {
	hub := signalr.NewHub()
	hub.HandleMethods(&rooms{greeting: "Hello "}) // Greet, Move and the stream Count
}
