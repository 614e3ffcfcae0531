package signalr

// link is one live transport of a connection, as the hub side sees it. The outbox decides what is written and when the
// transport may write; the link frames it and moves the bytes.
type link interface {
	kind() Transports
	// binary reports whether the transport carries bytes that are no text.
	binary() bool
	// polled reports that the client fetches what is sent. Then neither its silence nor bytes that wait say anything about
	// it; the link's own beat does.
	polled() bool

	// begin and end append what the transport puts around a message of n bytes. goodbye appends what ends the
	// transport in good order. They are called under the outbox's lock.
	begin(dst []byte, n int) []byte
	end(dst []byte) []byte
	goodbye(dst []byte, code int) []byte

	// flush moves bytes from the outbox into the transport and never blocks. It is called by the one who found the
	// outbox idle, without locks; the outbox stays busy until advance has said that it is empty.
	flush()
	// drained tells that a sealed outbox is empty: everything there will ever be has been handed to the kernel.
	drained()

	// readsChanged tells to ask the dispatcher again whether reading is paused. (Asking, so that two of these calls may
	// overtake each other.)
	readsChanged()

	// probe asks the client for a sign of life; its answer goes to Conn.probed with the number.
	probe(number uint64)

	// beat looks at timeouts of the transport's own.
	beat(now int64)

	// abort drops the transport without regard for what was not sent. hangUp ends it too without waiting for the
	// peer, but what the kernel has still goes out.
	abort()
	hangUp()
}

// Codes of the WebSocket close frame. Other transports ignore them.
const (
	closeNormal      = 1000
	closeProtocol    = 1002
	closeInvalidData = 1007
)
