package gateway

import (
	"hash/maphash"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"
)

// owner is the party to which the use of shared resources is attributed: a credential that a node has accepted, or the
// client's address.
type owner struct {
	hash   uint64 // keyed, so that collisions cannot be constructed
	proven bool   // a node has accepted the credential recently
}

const (
	// provenSlots is the size of the table of accepted credentials. A credential with the same index replaces an older one.
	provenSlots = 1 << 14
	// provenFor is how long a credential counts as accepted.
	provenFor = 10 * time.Minute
)

// owners determines the owner of a request. It stores only hashes of credentials. Invalid credentials cannot displace valid
// ones, because only credentials that a node has accepted are stored.
type owners struct {
	seed    maphash.Seed
	proxies []netip.Prefix // peers whose X-Forwarded-For is trusted
	proven  [provenSlots]struct {
		hash  atomic.Uint64
		until atomic.Int64 // Unix seconds
	}
}

func newOwners(proxies []netip.Prefix) *owners {
	return &owners{seed: maphash.MakeSeed(), proxies: proxies}
}

// of returns the owner of a request and the hash of its credential, or zero if it has none.
func (o *owners) of(r *http.Request, now time.Time) (who owner, credential uint64) {
	if text := credentialOf(r); text != "" {
		credential = maphash.String(o.seed, text) | 1
		if place := o.place(credential); place.hash.Load() == credential && now.Unix() < place.until.Load() {
			return owner{credential, true}, credential
		}
	}
	return owner{hash: o.address(r)}, credential
}

func (o *owners) place(hash uint64) *struct {
	hash  atomic.Uint64
	until atomic.Int64
} {
	return &o.proven[hash>>1%provenSlots]
}

// accepted records that a node has accepted a credential, and returns its owner.
func (o *owners) accepted(credential uint64, now time.Time) owner {
	place := o.place(credential)
	if until := now.Add(provenFor).Unix(); place.hash.Load() != credential || place.until.Load() < until {
		place.hash.Store(credential)
		place.until.Store(until)
	}
	return owner{credential, true}
}

// refused records that a node has refused a credential.
func (o *owners) refused(credential uint64) {
	if place := o.place(credential); place.hash.Load() == credential {
		place.until.Store(0)
	}
}

// address returns the hash of the client's address: the peer's, or behind a trusted proxy the last one in X-Forwarded-For. An
// IPv6 /64 counts as one address, because one host usually has all of it.
func (o *owners) address(r *http.Request) uint64 {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return maphash.String(o.seed, r.RemoteAddr)
	}
	from := peer.Addr().Unmap()
	if said := r.Header["X-Forwarded-For"]; len(said) > 0 && o.trusts(from) {
		last := said[len(said)-1]
		if client, err := netip.ParseAddr(strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])); err == nil {
			from = client.Unmap()
		}
	}
	bytes := from.As16()
	if !from.Is4() {
		clear(bytes[8:])
	}
	return maphash.Bytes(o.seed, bytes[:])
}

func (o *owners) trusts(peer netip.Addr) bool {
	for _, p := range o.proxies {
		if p.Contains(peer) {
			return true
		}
	}
	return false
}

// credentialOf returns the credential of a request, or "" if it has none or several.
func credentialOf(r *http.Request) string {
	if values := r.Header["Authorization"]; len(values) == 1 {
		return values[0]
	}
	if !strings.Contains(r.URL.RawQuery, "access_token=") {
		return ""
	}
	return r.URL.Query().Get("access_token")
}
