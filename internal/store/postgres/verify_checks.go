package postgres

import "github.com/esh3artech/esh3ar"

// check is an invariant that one statement can test. find and repair return the same columns: where, message, recipient, seq.
type check struct {
	name, detail string
	find         string
	repair       string // repairs and returns what was repaired; empty if there is no repair
	action       string // action of the repair
}

// zeroID is the SQL literal of the zero id, which stands for no message.
const zeroID = `'00000000-0000-0000-0000-000000000000'::uuid`

// setAside returns a statement that moves the rows selected by bad into table set_aside. match finds them in table, columns are
// the result.
func setAside(table, finding, bad, match, columns string) string {
	return `WITH bad AS (` + bad + `), gone AS (DELETE FROM ` + table + ` t USING bad b WHERE ` + match + ` RETURNING t.*),
		kept AS (INSERT INTO set_aside (source, finding, row) SELECT '` + table + `', '` + finding + `', to_jsonb(gone) FROM gone)
		SELECT ` + columns + ` FROM gone t`
}

const (
	strayEntries = `SELECT i.* FROM inbox i LEFT JOIN messages m ON m.id = i.id AND m.recipient = i.recipient AND m.lane = i.lane AND m.seq = i.seq AND m.status < 4 WHERE m.id IS NULL`
	entryAt      = `'inbox ' || t.recipient || '/' || t.lane || '/' || t.seq, t.id, t.recipient, t.seq`
	missing      = ` FROM messages m LEFT JOIN inbox i ON i.recipient = m.recipient AND i.lane = m.lane AND i.seq = m.seq AND i.id = m.id WHERE m.seq IS NOT NULL AND m.status < 4 AND i.id IS NULL`
	lowCounters  = `SELECT m.recipient, max(m.seq) AS seq FROM messages m LEFT JOIN counters c ON c.recipient = m.recipient GROUP BY m.recipient, c.seq HAVING max(m.seq) > coalesce(c.seq, 0)`
	noEnter      = `SELECT m.id, 1::smallint AS kind, m.send_at AS due, m.recipient, m.life FROM messages m LEFT JOIN tasks t ON t.id = m.id AND t.kind = 1 AND t.due = m.send_at WHERE m.status = 0 AND t.id IS NULL`
	noExpiry     = `SELECT m.id, 2::smallint AS kind, m.expires_at AS due, m.recipient, m.life FROM messages m LEFT JOIN tasks t ON t.id = m.id AND t.kind = 2 AND t.due = m.expires_at WHERE m.status < 4 AND m.expires_at <> 0 AND t.id IS NULL`
	strayTasks   = `SELECT t.* FROM tasks t LEFT JOIN messages m ON m.id = t.id WHERE m.id IS NULL`
	taskAt       = `'task ' || t.id || '/' || t.kind || '/' || t.due, t.id, t.recipient, 0::bigint`
	badKeys      = `SELECT k.business, k.key FROM idempotency_keys k WHERE octet_length(k.fingerprint) <> 32 OR cardinality(k.ids) = 0 OR cardinality(k.ids) <> cardinality(k.seqs)
		OR cardinality(k.ids) <> cardinality(k.recipients) OR cardinality(k.ids) <> cardinality(k.correlations)`
	keyAt   = `'key of business ' || t.business, ` + zeroID + `, 0::bigint, 0::bigint`
	badHash = `SELECT a.id FROM api_keys a WHERE octet_length(a.hash) <> 32`
	hashAt  = `'API key ' || t.id, ` + zeroID + `, 0::bigint, 0::bigint`
)

// addTasks returns a statement that inserts the selected tasks.
func addTasks(selection string) string {
	return `INSERT INTO tasks AS t (id, kind, due, recipient, life) SELECT id, kind, due, recipient, life FROM (` + selection + `) bad
		ON CONFLICT DO NOTHING RETURNING ` + taskAt
}

var checks = []check{
	{
		"inbox_missing", "an undelivered message has no inbox entry: it would not be delivered",
		`SELECT 'message ' || m.id, m.id, m.recipient, m.seq` + missing,
		`WITH bad AS (SELECT m.recipient, m.lane, m.seq, m.id` + missing + ` FOR UPDATE OF m)
			INSERT INTO inbox AS t (recipient, lane, seq, id) SELECT recipient, lane, seq, id FROM bad ON CONFLICT DO NOTHING RETURNING ` + entryAt, esh3ar.Mended,
	},
	{
		"inbox_stray", "an inbox entry whose message does not exist, has ended or has another entry",
		`SELECT ` + entryAt + ` FROM (` + strayEntries + `) t`,
		setAside("inbox", "inbox_stray", strayEntries, `t.recipient = b.recipient AND t.lane = b.lane AND t.seq = b.seq`, entryAt), esh3ar.SetAside,
	},
	{
		"counter_low", "a recipient's counter is below its highest seq: the next message would get a seq that is in use",
		`SELECT 'counter ' || b.recipient, ` + zeroID + `, b.recipient, b.seq FROM (` + lowCounters + `) b`,
		`INSERT INTO counters AS c (recipient, seq) SELECT b.recipient, b.seq FROM (` + lowCounters + `) b
			ON CONFLICT (recipient) DO UPDATE SET seq = greatest(c.seq, excluded.seq) RETURNING 'counter ' || c.recipient, ` + zeroID + `, c.recipient, c.seq`, esh3ar.Mended,
	},
	{
		"seq_missing", "the status of a message requires a seq, but it has none", `SELECT 'message ' || m.id, m.id, m.recipient, 0::bigint FROM messages m WHERE m.seq IS NULL AND m.status IN (1, 2, 3)`, "", "",
	},
	{
		"enter_task_missing", "a scheduled message has no task: it would never become due",
		`SELECT ` + taskAt + ` FROM (` + noEnter + `) t`, addTasks(noEnter), esh3ar.Mended,
	},
	{
		"expire_task_missing", "a message has a time to live and no task that ends it",
		`SELECT ` + taskAt + ` FROM (` + noExpiry + `) t`, addTasks(noExpiry), esh3ar.Mended,
	},
	{
		"task_stray", "a task whose message does not exist", `SELECT ` + taskAt + ` FROM (` + strayTasks + `) t`,
		setAside("tasks", "task_stray", strayTasks, `t.id = b.id AND t.kind = b.kind AND t.due = b.due`, taskAt), esh3ar.SetAside,
	},
	{
		"key_damaged", "an idempotency key whose stored answer is damaged", `SELECT ` + keyAt + ` FROM (` + badKeys + `) t`,
		setAside("idempotency_keys", "key_damaged", badKeys, `t.business = b.business AND t.key = b.key`, keyAt), esh3ar.SetAside,
	},
	{
		"api_key_damaged", "an API key with a hash of the wrong length: it cannot be used", `SELECT ` + hashAt + ` FROM (` + badHash + `) t`,
		setAside("api_keys", "api_key_damaged", badHash, `t.id = b.id`, hashAt), esh3ar.SetAside,
	},
}
