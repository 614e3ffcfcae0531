package credential_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/esh3artech/esh3ar/internal/auth/credential"
)

func TestHeader_Values_ReturnsToken(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		values []string
		token  string
		err    error
	}{
		{[]string{"Bearer abc"}, "abc", nil},
		{[]string{"bearer abc"}, "abc", nil},
		{[]string{"BEARER abc"}, "abc", nil},
		{[]string{"Bearer  abc"}, "abc", nil},
		{[]string{"Bearer     abc"}, "abc", nil},
		{[]string{" \tBearer abc\t "}, "abc", nil},
		{[]string{"Bearer a.b-c_d~e+f/g=="}, "a.b-c_d~e+f/g==", nil},
		{nil, "", credential.ErrNone},
		{[]string{"Bearer abc", "Bearer abc"}, "", credential.ErrSeveral},
		{[]string{"Bearer abc", "Basic abc"}, "", credential.ErrSeveral},
		{[]string{""}, "", credential.ErrMalformed},
		{[]string{"Bearer"}, "", credential.ErrMalformed},
		{[]string{"Bearer "}, "", credential.ErrMalformed},
		{[]string{"Bearerabc"}, "", credential.ErrMalformed},
		{[]string{"Bearer\tabc"}, "", credential.ErrMalformed},
		{[]string{"Bearer \tabc"}, "", credential.ErrMalformed},
		{[]string{"Bearer a b"}, "", credential.ErrMalformed},
		{[]string{"Bearer abc, Bearer abc"}, "", credential.ErrMalformed},
		{[]string{"Bearer ä"}, "", credential.ErrMalformed},
		{[]string{"Basic abc"}, "", credential.ErrMalformed},
		{[]string{"abc"}, "", credential.ErrMalformed},
	} {
		if token, err := credential.Header(c.values); token != c.token || !errors.Is(err, c.err) {
			t.Errorf("Header(%q) = %q, %v, want %q, %v", c.values, token, err, c.token, c.err)
		}
	}
}

func TestHeaderOrQuery_BothPlaces_MustAgree(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		query  string
		values []string
		token  string
		err    error
	}{
		{"access_token=abc", nil, "abc", nil},
		{"ACCESS_TOKEN=abc", nil, "abc", nil},
		{"access_token=abc&access_token=abc", nil, "abc", nil},
		{"access_token=a%2Bb", nil, "a+b", nil},
		{"access_token=abc", []string{"Bearer abc"}, "abc", nil},
		{"access_token=abc", []string{"Bearer  abc "}, "abc", nil},
		{"access_token=abc", []string{"Basic x"}, "abc", nil},
		{"access_token=", []string{"Bearer abc"}, "abc", nil},
		{"id=1", []string{"Bearer abc"}, "abc", nil},
		{"", nil, "", credential.ErrNone},
		{"access_token=", nil, "", credential.ErrNone},
		{"access_token=abc", []string{"Bearer xyz"}, "", credential.ErrSeveral},
		{"access_token=abc&access_token=xyz", nil, "", credential.ErrSeveral},
		{"access_token=abc&Access_Token=xyz", nil, "", credential.ErrSeveral},
		{"access_token=&access_token=abc", nil, "abc", nil},
		{"access_token=abc", []string{"Bearer abc", "Bearer abc"}, "", credential.ErrSeveral},
		{"access_token=a+b", nil, "", credential.ErrMalformed},
		{"access_token=%00", nil, "", credential.ErrMalformed},
		{"", []string{"Basic x"}, "", credential.ErrMalformed},
	} {
		r := httptest.NewRequest(http.MethodGet, "/?"+c.query, nil)
		if c.values != nil {
			r.Header["Authorization"] = c.values
		}
		if token, err := credential.HeaderOrQuery(r); token != c.token || !errors.Is(err, c.err) {
			t.Errorf("?%s with %q: %q, %v, want %q, %v", c.query, c.values, token, err, c.token, c.err)
		}
	}
}
