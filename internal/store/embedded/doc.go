// Package embedded implements the store port of the root package for a single node, on one Pebble database.
//
// It stores messages, inboxes, statuses, events, idempotency keys, businesses, API keys, plans and settings. It makes no delivery
// decisions and knows nothing of HTTP or phones.
//
// Concurrency: every method is safe for concurrent use. A single goroutine, the committer, writes to the database. Readers never
// wait for it.
//
// # Group commit
//
// Invariants:
//   - A call is answered after the fsync of the batch that contains it.
//   - No reader sees a batch before its fsync has returned.
//   - Appends to one inbox get consecutive, increasing sequence numbers.
//   - A batch is stored completely or not at all.
//
// The naive way is one synced commit per call. Each costs an fsync, which limits a fast disk to about 4,000 calls a second.
// Concurrent commits that leave the grouping of fsyncs to Pebble are fast, but Pebble makes a batch readable before its sync ends.
// A reader could then deliver a message that a power failure takes back. Two commits for one recipient would also need a lock
// around the recipient's counter.
//
// Therefore one committer takes all queued requests, appends and settles alike, and stages them in one batch. An overlay shows the
// changes of earlier requests to later requests of the same batch. The committer commits the batch with sync, publishes a snapshot
// of the durable state, and completes the requests. Requests that arrive during the sync form the next batch, so a slower disk gets
// larger batches. Readers use the latest published snapshot only.
//
// Settles are not latency-sensitive: they wait up to Options.SettleLinger for an append whose fsync they can share.
package embedded
