package httpfast

// octets is a set of parts of a head in which an octet may occur.
type octets uint8

const (
	inPath  octets = 1 << iota // a path without percent-encoding, query or fragment
	inName                     // a field name
	inValue                    // a field value: visible ASCII and space
	inHost                     // a host name or address with an optional port
)

func (o octets) has(what octets) bool { return o&what != 0 }

// class maps each octet to the parts in which it may occur. It is a strict subset of RFC 9110 and 9112.
var class = classes()

func classes() [256]octets {
	var c [256]octets
	for o := ' '; o <= '~'; o++ {
		c[o] = inValue
	}
	mark := func(set string, what octets) {
		for _, o := range []byte(set) {
			c[o] |= what
		}
	}
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	mark(letters+"-_./", inPath)
	mark(letters+"-", inName)
	mark(letters+"-_.:[]", inHost)
	return c
}
