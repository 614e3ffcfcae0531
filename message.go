package esh3ar

import "time"

// Limits of a message. Lengths count code points, sizes count bytes of UTF-8.
const (
	MaxContentLength       = 4096
	MaxSubjectLength       = 256
	MaxCorrelationIDLength = 128
	MaxMetadataPairs       = 16
	MaxMetadataSize        = 4 << 10 // bytes of all names and values together
	MaxBatch               = 1000    // messages in one batch call
	MaxTTL                 = 30 * 24 * time.Hour
	MaxAhead               = 90 * 24 * time.Hour // of SendAt
)

// Seq numbers the messages of one recipient 1, 2, 3 … without gaps, in commit order. Zero means "none yet".
type Seq uint64

// Message is what a business sent: it never changes once it is accepted, but for Seq, which it gets when it
// enters the inbox, and ExpiresAt, which a replay sets anew. What happens to it afterwards is its Progress.
type Message struct {
	ID            MessageID
	Business      BusinessID
	From          string // the business's name when it sent
	Recipient     Recipient
	Seq           Seq
	Priority      Priority
	Subject       string
	Content       string
	CorrelationID string
	Metadata      map[string]string // nil when there is none; readers must not change it
	SendAt        Time              // when it is due; zero: at once
	TTL           time.Duration     // whole seconds, from CreatedAt or SendAt, and anew from a replay; zero: it waits until it is delivered
	ExpiresAt     Time              // when TTL ends in the current life; zero: never
}

// CreatedAt is when the message was accepted: the time part of its id.
func (m *Message) CreatedAt() Time { return m.ID.CreatedAt() }

// Expired tells whether its time to live is over.
func (m *Message) Expired(now Time) bool { return !m.ExpiresAt.IsZero() && now >= m.ExpiresAt }

// Size is an estimate of the bytes that m takes in memory and on the wire; windows, lanes and pages are
// bounded by it.
func (m *Message) Size() int {
	n := 160 + len(m.From) + len(m.Subject) + len(m.Content) + len(m.CorrelationID) // 160: ids, times, field names
	for k, v := range m.Metadata {
		n += len(k) + len(v) + 6 // quotes, colon, comma
	}
	return n
}

// Progress is the small changing half of a stored message.
type Progress struct {
	Stage
	Version     uint32 // number of status events so far; the newest event carries it
	Attempts    int    // deliveries tried in this life: 1 with the first push, one more with each repeat
	ScheduledAt Time   // the SendAt of a scheduled message
	SentAt      Time   // first push of this life
	DeliveredAt Time
	ReadAt      Time
	EndedAt     Time   // expired, canceled or failed
	Reason      string // why it failed or was canceled; a stable word
}

// Record is a stored message with its progress.
type Record struct {
	Message
	Progress
}
