package embedded

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/codec"
)

// The checks of rows that refer to messages. Each checks that the message exists and agrees with the row.

func checkID(src verifySource, key, row []byte) []fault {
	where, err := decodeLocation(row)
	if err != nil || len(key) != 17 {
		return unreadable("id_damaged", key, codec.ErrDamaged)
	}
	id := esh3ar.MessageID{UUID: [16]byte(key[1:])}
	f := finding("body_missing", key, "the id leads to +%d/%d, which has no body", where.recipient, where.seq)
	f.Message = id
	f.Recipient = where.recipient
	f.Seq = where.seq
	m, ok, err := readBody(src, where.recipient, where.seq, id)
	if err != nil && !errors.Is(err, codec.ErrDamaged) || err == nil && ok && m.ID == id {
		return nil
	}
	aside := [][]byte{bytes.Clone(key), appendList(nil, where.business, id)}
	if where.seq != 0 {
		aside = append(aside, appendUndelivered(nil, where.recipient, where.priority, where.seq))
	}
	return []fault{{Finding: f, quarantine: append(aside, appendStepsKey(nil, where.recipient, where.seq, id))}}
}

func checkSteps(src verifySource, key, row []byte) []fault {
	if len(key) != 17 {
		return unreadable("steps_damaged", key, codec.ErrDamaged)
	}
	id := esh3ar.MessageID{UUID: [16]byte(key[1:])} // from the key of a message without a seq; other messages have their id in the body
	var r esh3ar.Recipient
	var seq esh3ar.Seq
	if key[0] == stepsKey {
		r, seq = esh3ar.Recipient(binary.BigEndian.Uint64(key[1:])), esh3ar.Seq(binary.BigEndian.Uint64(key[9:]))
	}
	m, ok, err := readBody(src, r, seq, id)
	if err != nil {
		return nil
	}
	if !ok {
		return []fault{{Finding: finding("steps_orphaned", key, "the message of these steps does not exist"), quarantine: [][]byte{bytes.Clone(key)}}}
	}
	if _, err := decodeSteps(row, m.ID, !m.SendAt.IsZero()); err != nil {
		return unreadable("steps_damaged", key, err)
	}
	return nil
}

func checkUndelivered(src verifySource, key, _ []byte) []fault {
	r, p, seq, ok := parseUndelivered(key)
	if !ok {
		return unreadable("undelivered_damaged", key, codec.ErrDamaged)
	}
	record, ok, err := readRecord(src, r, seq, esh3ar.MessageID{})
	if err != nil {
		return nil
	}
	f := finding("undelivered_stale", key, "no undelivered message has this seq")
	f.Message = record.ID
	f.Recipient = r
	f.Seq = seq
	if ok && record.Priority == p && !record.Status.Ends() {
		return nil
	}
	return []fault{{Finding: f, quarantine: [][]byte{bytes.Clone(key)}}}
}

func checkList(src verifySource, key, row []byte) []fault {
	where, id, err := parseList(key, row)
	if err != nil {
		return unreadable("list_damaged", key, err)
	}
	place, ok, err := readLocation(src, id)
	f := finding("list_stale", key, "the listing points to +%d/%d, but the message is elsewhere", where.recipient, where.seq)
	f.Message = id
	switch {
	case err != nil || ok && place.business == where.business && place.recipient == where.recipient && place.seq == where.seq:
		return nil
	case ok && place.business == where.business:
		return []fault{{Finding: f, set: []rowWrite{{bytes.Clone(key), appendUint64(appendUint64(nil, uint64(place.recipient)), uint64(place.seq))}}}}
	default:
		return []fault{{Finding: f, quarantine: [][]byte{bytes.Clone(key)}}}
	}
}

// checkCounter checks the form of the row. Whether it is high enough is checked for each message.
func checkCounter(_ verifySource, key, row []byte) []fault {
	if len(key) != 9 || len(row) != 8 {
		return []fault{{Finding: finding("counter_damaged", key, "the row is damaged: appends to the recipient fail; restore a backup")}}
	}
	return nil
}

func checkDeadLetter(src verifySource, key, _ []byte) []fault {
	business, at, id, ok := parseDeadLetter(key)
	if !ok {
		return unreadable("dead_letter_damaged", key, codec.ErrDamaged)
	}
	f := finding("dead_letter_stale", key, "the message did not fail at that time, or is no longer a dead letter")
	f.Message = id
	where, ok, err := readLocation(src, id)
	if err != nil {
		return nil
	}
	if ok && where.business == business {
		done, err := readSteps(src, where, id)
		if err != nil || done.FailedAt() == at {
			return nil
		}
	}
	return []fault{{Finding: f, quarantine: [][]byte{bytes.Clone(key)}}}
}

// checkTask checks a task. A task of a message that has ended is valid: it completes when it is due.
func checkTask(src verifySource, key, row []byte) []fault {
	t, ok := parseTask(key)
	if !ok || decodeTaskRow(row, &t) != nil {
		return unreadable("task_damaged", key, codec.ErrDamaged)
	}
	where, ok, err := readLocation(src, t.Message)
	f := finding("task_orphaned", key, "its message does not exist, or has another recipient")
	f.Message, f.Recipient = t.Message, t.Recipient
	if err != nil || ok && where.recipient == t.Recipient {
		return nil
	}
	return []fault{{Finding: f, quarantine: [][]byte{bytes.Clone(key)}}}
}

// checkIdem checks that a key is stored under the day of its expiry. Its receipts cannot be checked: the messages may have
// been purged.
func checkIdem(_ verifySource, key, row []byte) []fault {
	k, err := decodeIdem(row)
	if err != nil || len(key) != 53 {
		return unreadable("key_damaged", key, codec.ErrDamaged)
	}
	if day := idemDay(k.expires); day != binary.BigEndian.Uint32(key[1:]) {
		right := append(appendIdemDay(nil, day), key[5:]...)
		return []fault{{
			Finding: finding("key_misplaced", key, "it expires on day %d but is stored under another day", day),
			set:     []rowWrite{{right, bytes.Clone(row)}}, quarantine: [][]byte{bytes.Clone(key)},
		}}
	}
	return nil
}

func checkTrimmed(_ verifySource, key, row []byte) []fault {
	if len(key) != 1 || len(row) != trimmedLen {
		return []fault{{Finding: finding("trimmed_damaged", key, "the start of the event log is unknown; restore a backup")}}
	}
	return nil
}

// checkAccounts checks businesses, API keys, plans, revocations and usage. Most faults are not repaired: a damaged
// credential is for an operator to decide.
func checkAccounts(src verifySource, key, row []byte) []fault {
	switch key[0] {
	case businessKey:
		if json.Unmarshal(row, new(esh3ar.Business)) != nil {
			return []fault{{Finding: finding("business_damaged", key, "its keys cannot authenticate; create it again")}}
		}
	case apiKeyKey:
		var k esh3ar.APIKey
		if json.Unmarshal(row, &k) != nil || len(key) != 33 {
			return []fault{{Finding: finding("api_key_damaged", key, "it cannot authenticate; create a new one")}}
		}
		owned := rowWrite{appendKeyIndex(nil, k.Business, k.ID), bytes.Clone(key[1:])}
		if got, err := getRow(src, owned.key); err == nil && !bytes.Equal(got, owned.row) {
			return []fault{{Finding: finding("api_key_unlisted", key, "it could not be revoked"), set: []rowWrite{owned}}}
		}
	case planKey:
		if json.Unmarshal(row, new(esh3ar.Plan)) != nil {
			return []fault{{Finding: finding("plan_damaged", key, "no plan can be read until it is stored again")}}
		}
	case revocationKey:
		if _, err := parseRevocation(key, row); err != nil {
			return []fault{{Finding: finding("revocation_damaged", key, "revoked tokens may be valid again; revoke them again"), quarantine: [][]byte{bytes.Clone(key)}}}
		}
	case usageKey:
		if len(key) != usageKeyLen || len(row) != usageLen {
			return []fault{{Finding: finding("usage_damaged", key, "the usage of the business on that day is unknown"), quarantine: [][]byte{bytes.Clone(key)}}}
		}
	case keyIndexKey:
		if got, err := getRow(src, append([]byte{apiKeyKey}, row...)); err == nil && got == nil {
			return []fault{{Finding: finding("api_key_missing", key, "the API key does not exist"), quarantine: [][]byte{bytes.Clone(key)}}}
		}
	}
	return nil
}
