package signalr

import "strings"

// Types of hub messages, as they stand on the wire.
const (
	typeInvocation       = 1
	typeStreamItem       = 2
	typeCompletion       = 3
	typeStreamInvocation = 4
	typeCancelInvocation = 5
	typePing             = 6
	typeClose            = 7
	typeAck              = 8
	typeSequence         = 9
)

// message is one decoded hub message. Which fields are set depends on its type. The byte slices point into the input
// and live until the next message is taken from it.
type message struct {
	kind           int
	id             []byte // invocationId; empty: none
	target         []byte
	arguments      []byte   // the whole encoded array
	items          []span   // its elements, as positions in arguments
	payload        []byte   // item of a StreamItem, result of a Completion; nil: absent
	streams        [][]byte // ids of the streams that the invocation brings
	errorText      string
	hasError       bool
	allowReconnect bool
	sequence       int64
}

type span struct{ from, to int }

// reset empties m and keeps what it can be filled again with.
func (m *message) reset() { *m = message{items: m.items[:0], streams: m.streams[:0]} }

// protocol is one encoding of hub messages. Its methods keep no state, so one value serves all connections.
type protocol interface {
	name() string
	binary() bool
	index() int // of this protocol's bytes in a Frame

	// next returns the first whole message record of b without its framing and how many bytes it takes with it. A nil
	// record means that more bytes are needed. The limit counts framing; a negative one is none. scanned is how many
	// bytes of b earlier calls have already looked at.
	next(b []byte, scanned, limit int) (record []byte, size int, err error)

	// parse decodes one record into m, reusing what m holds. An unknown type is no error.
	parse(record []byte, m *message) error
	decode(argument []byte, v any) error

	appendPing(dst []byte) []byte
	appendClose(dst []byte, text string, allowReconnect bool) []byte
	// appendAck and appendSequence append what keeps a connection across sockets: the highest message that was handled,
	// and the first that is going to be sent.
	appendAck(dst []byte, sequence int64) []byte
	appendSequence(dst []byte, sequence int64) []byte
	appendInvocation(dst []byte, target string, args []any) ([]byte, error)
	// appendRequest appends an invocation that the client is to answer by a completion of this id.
	appendRequest(dst []byte, id, target string, args []any) ([]byte, error)
	appendStreamItem(dst []byte, id string, item any) ([]byte, error)
	// appendCompletion appends the end of a call: with an error text when failed is set, else with the result; a nil
	// result is none.
	appendCompletion(dst []byte, id string, result any, text string, failed bool) ([]byte, error)
}

// Names of the protocols.
const (
	protocolJSON        = "json"
	protocolMessagePack = "messagepack"
)

// Places of the protocols' bytes in a Frame.
const (
	indexJSON = iota
	indexMessagePack
	protocolCount
)

// protocols are all there are, by their index.
var protocols = [protocolCount]protocol{jsonProtocol{}, packProtocol{}}

// protocolByName finds a protocol whatever the case of its name; nil if there is none.
func protocolByName(name string) protocol {
	for _, p := range protocols {
		if strings.EqualFold(name, p.name()) {
			return p
		}
	}
	return nil
}

func errTooLong(limit int) error {
	return dataErrorf("The maximum message size of %dB was exceeded. The message size can be configured in AddHubOptions.", limit)
}
