package esh3ar

// Event is one status change of one message. Its JSON is part of the outward contract: the history, event streams and callbacks use it.
type Event struct {
	ID            EventID           `json:"eventId"`
	Message       MessageID         `json:"messageId"`
	Business      BusinessID        `json:"-"`
	Version       uint32            `json:"version"` // 1, 2, 3 … per message
	Life          Life              `json:"life"`
	Status        Status            `json:"status"`
	At            Time              `json:"occurredAt"`
	Recipient     Recipient         `json:"recipientPhoneNumber"`
	Attempt       int               `json:"attempt"` // number of delivery attempts at that time
	CorrelationID string            `json:"correlationId,omitempty"`
	Metadata      map[string]string `json:"metadata,omitempty"`
	Reason        string            `json:"failureReason,omitempty"`
}
