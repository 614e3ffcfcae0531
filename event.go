package esh3ar

// Event is one status change of one message, as history, streams and callbacks carry it. Its JSON is part of
// the outward contract.
type Event struct {
	ID            EventID           `json:"eventId"`
	Message       MessageID         `json:"messageId"`
	Business      BusinessID        `json:"-"`
	Version       uint32            `json:"version"` // 1, 2, 3 … per message
	Life          Life              `json:"life"`
	Status        Status            `json:"status"`
	At            Time              `json:"occurredAt"`
	Recipient     Recipient         `json:"recipientPhoneNumber"`
	Attempt       int               `json:"attempt"` // deliveries tried when it happened
	CorrelationID string            `json:"correlationId,omitempty"`
	Metadata      map[string]string `json:"metadata,omitempty"`
	Reason        string            `json:"failureReason,omitempty"`
}
