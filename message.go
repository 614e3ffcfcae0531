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
	MaxScheduleAhead       = 90 * 24 * time.Hour // latest SendAt, from now
)

// Seq is the number of a message in the inbox of its recipient: 1, 2, 3 … without gaps, in commit order. Zero means "none yet".
type Seq uint64

// Message is a message as a business sent it. After its acceptance only two fields change: Seq, when it enters the inbox, and ExpiresAt,
// by a replay. Its Progress holds what happens to it.
type Message struct {
	ID            MessageID
	Business      BusinessID
	From          string // name of the business at acceptance
	Recipient     Recipient
	Seq           Seq
	Priority      Priority
	Subject       string
	Content       string
	CorrelationID string
	Metadata      map[string]string // nil if there is none; readers must not change it
	SendAt        Time              // when it enters the inbox; zero for at once
	TTL           time.Duration     // whole seconds from CreatedAt, SendAt or the last replay; zero for no limit
	ExpiresAt     Time              // end of the TTL in the current life; zero for never
}

// CreatedAt returns the time of the acceptance: the time part of the id.
func (m *Message) CreatedAt() Time { return m.ID.CreatedAt() }

// Expired reports whether the TTL has ended.
func (m *Message) Expired(now Time) bool { return !m.ExpiresAt.IsZero() && now >= m.ExpiresAt }

// Size returns an estimate of the bytes that m takes in memory and on the wire. Windows, lanes and pages are bounded by it.
func (m *Message) Size() int {
	n := 160 + len(m.From) + len(m.Subject) + len(m.Content) + len(m.CorrelationID) // 160: ids, times, field names
	for k, v := range m.Metadata {
		n += len(k) + len(v) + 6 // quotes, colon, comma
	}
	return n
}

// Progress is the part of a stored message that changes.
type Progress struct {
	Stage
	Version     uint32 // number of status events so far, and version of the newest
	Attempts    int    // delivery attempts in this life: 1 with the first push, one more with each redelivery
	ScheduledAt Time   // SendAt, if the message was scheduled
	SentAt      Time   // first push in this life
	DeliveredAt Time
	ReadAt      Time
	EndedAt     Time   // when it expired, was canceled or failed
	Reason      string // why it failed or was canceled; a word of the outward contract
}

// Record is a stored message with its progress.
type Record struct {
	Message
	Progress
}
