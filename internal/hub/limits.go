package hub

import "github.com/esh3artech/esh3ar/signalr"

// Limits of one party at one node. They are far above what a phone or a business needs, and keep each to a share.
const (
	deviceConnections   = 8        // of one device; a newer one closes the oldest, whose socket is half dead as a rule
	numberConnections   = 64       // of all devices of one phone number; beyond it 429
	phoneNegotiations   = 64       // of one phone number that have not connected yet; beyond it 429
	phoneUnfinished     = 1 << 20  // bytes of unfinished messages of one phone number
	phoneUnread         = 1 << 20  // bytes of output that the connections of one phone number have not read
	businessUnread      = 16 << 20 // the same of one business
	keyConnections      = 256      // of one API key; beyond it 429
	businessConnections = 1024     // of all keys of one business; beyond it 429
	businessUnfinished  = 4 << 20  // bytes of unfinished messages of one business
	hubUnfinished       = 64 << 20 // bytes of unfinished messages of all connections of a hub
)

// LimitPhones sets what one device and one phone number may hold.
func LimitPhones(o *signalr.Options) {
	o.ReplaceOldest = true
	o.Limits.ConnectionsPerDevice, o.Limits.ConnectionsPerUser = deviceConnections, numberConnections
	o.Limits.NegotiatedPerUser = phoneNegotiations
	o.Limits.Unfinished, o.Limits.UnfinishedPerUser = hubUnfinished, phoneUnfinished
	o.Limits.UnreadPerUser = phoneUnread
}

// LimitBusinesses sets what one API key and one business may hold. A business that has too many connections is told so
// by 429: to close the oldest would silently take a consumer's events away.
func LimitBusinesses(o *signalr.Options) {
	o.Limits.ConnectionsPerDevice, o.Limits.ConnectionsPerUser = keyConnections, businessConnections
	o.Limits.Unfinished, o.Limits.UnfinishedPerUser = hubUnfinished, businessUnfinished
	o.Limits.UnreadPerUser = businessUnread
}
