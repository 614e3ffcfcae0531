package connlimit

// Kind is what an owner of connections is.
type Kind uint8

// The kinds of owners.
const (
	Business Kind = iota // its API keys
	Device               // a phone number, with all its device tokens
	Operator             // the admin token
	kinds
)

// Owner is whose credentials were used on a connection.
type Owner struct {
	Kind Kind
	ID   string
}
