// Package embedded is the store of a single node: the whole port of the root package on one pebble database.
//
// It keeps messages, inboxes, statuses, events, idempotency keys and accounts. It decides nothing about delivery,
// and it knows neither HTTP nor phones.
//
// Concurrency: every method may be called from any goroutine. One goroutine, the committer, is the only writer;
// readers never wait for it.
//
// # Group commit
//
// What must hold: a call is answered after the fsync of the batch that holds it; no reader sees a batch before
// that fsync returned; appends of one recipient get rising sequence numbers without gaps; a batch is whole or not
// there.
//
// The naive way, a commit with sync per call, costs an fsync each: about 4,000 calls a second on a fast disk.
// Letting several goroutines commit at once and leaving the grouping of fsyncs to pebble is fast, but pebble makes
// a batch readable before its sync ends, so a reader could pass on a message that a power cut takes back, and two
// commits of one recipient would need a lock around their counter.
//
// So there is one committer. It takes everything that waits, appends and settles alike, stages them into one batch
// (an overlay shows later calls of the batch what earlier ones changed), commits with sync, publishes a snapshot of
// what is now durable, and answers. While the sync runs the next batch gathers by itself: the slower the disk, the
// larger the batch. Readers use the newest published snapshot and nothing else. Settles are lazy: nobody waits for
// them at a screen, so they may wait up to Options.SettleGather for an append to share its fsync with.
package embedded
