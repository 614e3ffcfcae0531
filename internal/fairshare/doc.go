// Package fairshare divides a bounded resource (bytes, slots) among owners, so that no owner can take what the
// others need. An owner is any comparable key: a business, a phone, an address.
//
// A Pool has a total. An owner's bound depends on what is free, as in switches whose ports share one packet
// memory (dynamic thresholds, Choudhury and Hahne 1998): after a grant at least as much must be free as the owner then
// holds. So one owner alone may hold half of the pool, two greedy owners settle at a third each, and there is always
// room for the next one. While others hold something, an owner is further bound to a quarter of the total. A small
// amount per owner (Options.Guaranteed) is granted whenever the total permits it.
//
// A pool knows an owner only while it holds or waits for something; it stores nothing about other owners.
//
// A pool does not limit rates, and it does not revoke a grant: the holder bounds how long it holds. It is made for resources that are large or long-lived: large bodies, streams, slots of slow work. All
// methods lock one mutex per pool, so a pool does not belong on a path that every call takes.
//
// All methods are safe for concurrent use.
package fairshare
