package gateway

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"
)

// TestOwners_NoCredential_AddressIsTheOwner checks which addresses count as the same owner.
func TestOwners_NoCredential_AddressIsTheOwner(t *testing.T) {
	t.Parallel()
	o := newOwners([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
	hash := func(peer string, forwarded ...string) uint64 {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.RemoteAddr = peer
		r.Header["X-Forwarded-For"] = forwarded
		who, credential := o.of(r, time.Now())
		if who.proven || credential != 0 {
			t.Errorf("%s: got %+v %d, want an address", peer, who, credential)
		}
		return who.hash
	}
	one := hash("192.0.2.1:1000")
	for name, c := range map[string]struct {
		got  uint64
		same bool
	}{
		"another port":               {hash("192.0.2.1:2000"), true},
		"the same, mapped":           {hash("[::ffff:192.0.2.1]:1000"), true},
		"another address":            {hash("192.0.2.2:1000"), false},
		"by a proxy":                 {hash("10.1.2.3:1000", "192.0.2.1"), true},
		"by a proxy, with a prefix":  {hash("10.1.2.3:1000", "198.51.100.1, 192.0.2.1"), true},
		"by a proxy, in two headers": {hash("10.1.2.3:1000", "198.51.100.1", "192.0.2.1"), true},
		"made up":                    {hash("192.0.2.2:1000", "192.0.2.1"), false},
		"made up behind a proxy":     {hash("10.1.2.3:1000", "192.0.2.1, 198.51.100.1"), false},
	} {
		if (c.got == one) != c.same {
			t.Errorf("%s: the same caller: %t, want %t", name, c.got == one, c.same)
		}
	}
	if hash("[2001:db8::1]:1") != hash("[2001:db8::2]:1") || hash("[2001:db8::1]:1") == hash("[2001:db8:0:1::1]:1") {
		t.Error("a /64 is not one address, or two are")
	}
}

// TestOwners_AcceptedCredential_IsProven checks that a credential is proven after a node has accepted it, for a limited time, and
// not if a request has two.
func TestOwners_AcceptedCredential_IsProven(t *testing.T) {
	t.Parallel()
	o, now := newOwners(nil), time.Unix(1_800_000_000, 0)
	of := func(target string, headers ...string) (owner, uint64) {
		r := httptest.NewRequest(http.MethodGet, target, http.NoBody)
		r.Header["Authorization"] = headers
		return o.of(r, now)
	}
	who, credential := of("/", "Bearer a")
	if who.proven || credential == 0 {
		t.Errorf("before: got %+v %d", who, credential)
	}
	o.accepted(credential, now)
	for name, c := range map[string]struct {
		target string
		header []string
		want   bool
	}{
		"it": {"/", []string{"Bearer a"}, true}, "another": {"/", []string{"Bearer b"}, false}, "two": {"/", []string{"Bearer a", "Bearer b"}, false},
		"none": {"/", nil, false}, "in the query, another": {"/?access_token=b", nil, false},
	} {
		if who, _ := of(c.target, c.header...); who.proven != c.want {
			t.Errorf("%s: known %t, want %t", name, who.proven, c.want)
		}
	}
	now = now.Add(provenFor)
	if who, _ := of("/", "Bearer a"); who.proven {
		t.Error("it is known for ever")
	}
	o.accepted(credential, now)
	o.refused(credential)
	if who, _ := of("/", "Bearer a"); who.proven {
		t.Error("it is known after a node has refused it")
	}
}
