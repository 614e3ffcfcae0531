package connlimit

import (
	"net"
	"net/netip"
)

// Lengths of the prefixes that count as one address. An IPv6 host usually has a whole /64.
const (
	bitsIPv4 = 32
	bitsIPv6 = 64
)

// addressOf returns the prefix of a peer; it is invalid if the peer has no IP address.
func addressOf(peer net.Addr) netip.Prefix {
	ip := ipOf(peer)
	bits := bitsIPv6
	if ip.Is4() {
		bits = bitsIPv4
	}
	prefix, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}

func ipOf(peer net.Addr) netip.Addr {
	tcp, ok := peer.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	ip, _ := netip.AddrFromSlice(tcp.IP) // invalid if there is none
	return ip.Unmap().WithZone("")
}

// isTrusted reports whether a peer is one of the proxies.
func isTrusted(proxies []netip.Prefix, peer net.Addr) bool {
	ip := ipOf(peer)
	for _, p := range proxies {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}
