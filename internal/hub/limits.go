package hub

import "github.com/esh3artech/esh3ar/signalr"

// Limits per node of what one device, phone number, key or business may use. They are far above normal use.
const (
	deviceConnections   = 8        // connections of one device; a new one closes the oldest, which usually is a broken connection
	numberConnections   = 64       // connections of all devices of one phone number; more are answered 429
	phoneNegotiations   = 64       // pending negotiations of one phone number; more are answered 429
	phoneUnfinished     = 1 << 20  // bytes of unfinished messages of one phone number
	phoneUnread         = 1 << 20  // bytes of output not read by the connections of one phone number
	businessUnread      = 16 << 20 // bytes of output not read by the connections of one business
	keyConnections      = 256      // connections of one API key; more are answered 429
	businessConnections = 1024     // connections of all keys of one business; more are answered 429
	businessUnfinished  = 4 << 20  // bytes of unfinished messages of one business
	hubUnfinished       = 64 << 20 // bytes of unfinished messages of all connections of a hub
)

// LimitPhones sets the limits per device and phone number.
func LimitPhones(o *signalr.Options) {
	o.ReplaceOldest = true
	o.Limits.ConnectionsPerDevice, o.Limits.ConnectionsPerUser = deviceConnections, numberConnections
	o.Limits.NegotiatedPerUser = phoneNegotiations
	o.Limits.Unfinished, o.Limits.UnfinishedPerUser = hubUnfinished, phoneUnfinished
	o.Limits.UnreadPerUser = phoneUnread
}

// LimitBusinesses sets the limits per API key and business. Further connections are answered 429. Closing the oldest instead
// would silently take events away from a consumer.
func LimitBusinesses(o *signalr.Options) {
	o.Limits.ConnectionsPerDevice, o.Limits.ConnectionsPerUser = keyConnections, businessConnections
	o.Limits.Unfinished, o.Limits.UnfinishedPerUser = hubUnfinished, businessUnfinished
	o.Limits.UnreadPerUser = businessUnread
}
