package httpfast

// octets is what an octet may be part of.
type octets uint8

const (
	inPath  octets = 1 << iota // of a path that means what it says: nothing is coded, nothing follows it
	inName                     // of a field's name
	inValue                    // of a field's value: visible ASCII and space
	inHost                     // of a name or address, with a port
)

func (o octets) has(what octets) bool { return o&what != 0 }

// class is a subset of RFC 9112 and 9110 in which nothing needs a thought: of a token's letters only those that names have.
var class = classes()

func classes() (c [256]octets) {
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
