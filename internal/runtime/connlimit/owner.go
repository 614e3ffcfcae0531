package connlimit

// Kind is the kind of an owner.
type Kind uint8

// Kinds of owners.
const (
	Business Kind = iota // a business, with all its API keys
	Device               // a phone number, with all its device tokens
	Operator             // the holder of the admin token
	kinds
)

// Owner identifies the holder of credentials that were used on a connection.
type Owner struct {
	Kind Kind
	ID   string
}
