package gateway

import (
	"hash/maphash"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"
)

// owner is what the use of a shared resource is counted for: a credential that a node has accepted, or the address that a
// request comes from.
type owner struct {
	hash   uint64 // keyed, so that nobody can make up two with the same
	proven bool   // a node has accepted the credential lately
}

const (
	// provenSlots is how many credentials are known at once; the next one with the same place takes the place of an older one.
	provenSlots = 1 << 14
	// provenFor is how long a credential counts as good after a node has accepted it.
	provenFor = 10 * time.Minute
)

// owners tells whose a request is. It knows credentials by hashes only. A stranger cannot push a good one out: only what a node
// has accepted enters.
type owners struct {
	seed    maphash.Seed
	proxies []netip.Prefix // peers whose X-Forwarded-For is believed
	proven  [provenSlots]struct {
		hash  atomic.Uint64
		until atomic.Int64 // Unix seconds
	}
}

func newOwners(proxies []netip.Prefix) *owners {
	return &owners{seed: maphash.MakeSeed(), proxies: proxies}
}

// of returns the owner of a request, and the hash of its credential; zero: it has none.
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

// accepted notes that a node has accepted a credential.
func (o *owners) accepted(credential uint64, now time.Time) owner {
	place := o.place(credential)
	if until := now.Add(provenFor).Unix(); place.hash.Load() != credential || place.until.Load() < until {
		place.hash.Store(credential)
		place.until.Store(until)
	}
	return owner{credential, true}
}

// refused notes that a node has not.
func (o *owners) refused(credential uint64) {
	if place := o.place(credential); place.hash.Load() == credential {
		place.until.Store(0)
	}
}

// address returns the hash of where a request comes from: the peer, or what a trusted proxy says last. A host of IPv6 usually has a whole
// /64: that is one address.
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

// credentialOf returns what a request proves itself with; empty: nothing, or more than one thing.
func credentialOf(r *http.Request) string {
	if values := r.Header["Authorization"]; len(values) == 1 {
		return values[0]
	}
	if !strings.Contains(r.URL.RawQuery, "access_token=") {
		return ""
	}
	return r.URL.Query().Get("access_token")
}
