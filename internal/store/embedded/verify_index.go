package embedded

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/codec"
)

// The checks of rows that point at messages. Each asks whether the message is there and says the same.

func checkID(src verifySource, key, row []byte) []flaw {
	where, err := decodePlace(row)
	if err != nil || len(key) != 17 {
		return unreadable("id_damaged", key, codec.ErrDamaged)
	}
	id := esh3ar.MessageID{UUID: [16]byte(key[1:])}
	f := finding("body_missing", key, "the id leads to +%d/%d, and no body is there", where.recipient, where.seq)
	f.Message, f.Recipient, f.Seq = id, where.recipient, where.seq
	m, ok, err := readBody(src, where.recipient, where.seq, id)
	if err != nil && !errors.Is(err, codec.ErrDamaged) || err == nil && ok && m.ID == id {
		return nil
	}
	aside := [][]byte{bytes.Clone(key), appendList(nil, where.business, id)}
	if where.seq != 0 {
		aside = append(aside, appendWaiting(nil, where.recipient, where.priority, where.seq))
	}
	return []flaw{{Finding: f, aside: append(aside, appendStepsKey(nil, where.recipient, where.seq, id))}}
}

func checkSteps(src verifySource, key, row []byte) []flaw {
	if len(key) != 17 {
		return unreadable("steps_damaged", key, codec.ErrDamaged)
	}
	id := esh3ar.MessageID{UUID: [16]byte(key[1:])} // of parked ones; the others have it in their body
	var r esh3ar.Recipient
	var seq esh3ar.Seq
	if key[0] == stepsKey {
		r, seq = esh3ar.Recipient(binary.BigEndian.Uint64(key[1:])), esh3ar.Seq(binary.BigEndian.Uint64(key[9:]))
	}
	m, ok, err := readBody(src, r, seq, id)
	switch {
	case err != nil:
		return nil
	case !ok:
		return []flaw{{Finding: finding("steps_orphaned", key, "there is no message here"), aside: [][]byte{bytes.Clone(key)}}}
	}
	if _, err := decodeSteps(row, m.ID, !m.SendAt.IsZero()); err != nil {
		return unreadable("steps_damaged", key, err)
	}
	return nil
}

func checkWaiting(src verifySource, key, _ []byte) []flaw {
	r, p, seq, ok := parseWaiting(key)
	if !ok {
		return unreadable("undelivered_damaged", key, codec.ErrDamaged)
	}
	record, ok, err := readRecord(src, r, seq, esh3ar.MessageID{})
	if err != nil {
		return nil
	}
	f := finding("undelivered_stale", key, "no message waits here")
	f.Message, f.Recipient, f.Seq = record.ID, r, seq
	if ok && record.Priority == p && !record.Status.Ends() {
		return nil
	}
	return []flaw{{Finding: f, aside: [][]byte{bytes.Clone(key)}}}
}

func checkList(src verifySource, key, row []byte) []flaw {
	where, id, err := parseList(key, row)
	if err != nil {
		return unreadable("list_damaged", key, err)
	}
	place, ok, err := readPlace(src, id)
	f := finding("list_stale", key, "the listing shows +%d/%d, and that is not where the message is", where.recipient, where.seq)
	f.Message = id
	switch {
	case err != nil || ok && place.business == where.business && place.recipient == where.recipient && place.seq == where.seq:
		return nil
	case ok && place.business == where.business:
		return []flaw{{Finding: f, set: []pair{{bytes.Clone(key), appendUint64(appendUint64(nil, uint64(place.recipient)), uint64(place.seq))}}}}
	default:
		return []flaw{{Finding: f, aside: [][]byte{bytes.Clone(key)}}}
	}
}

// checkCounter looks at the row; whether it is high enough is asked of each message.
func checkCounter(_ verifySource, key, row []byte) []flaw {
	if len(key) != 9 || len(row) != 8 {
		return []flaw{{Finding: finding("counter_damaged", key, "the row is damaged; a message of the recipient will set it right")}}
	}
	return nil
}

func checkDead(src verifySource, key, _ []byte) []flaw {
	business, at, id, ok := parseDead(key)
	if !ok {
		return unreadable("dead_letter_damaged", key, codec.ErrDamaged)
	}
	f := finding("dead_letter_stale", key, "the message did not fail then, or is no dead letter any more")
	f.Message = id
	where, ok, err := readPlace(src, id)
	if err != nil {
		return nil
	}
	if ok && where.business == business {
		done, err := readSteps(src, where, id)
		if err != nil || done.FailedAt() == at {
			return nil
		}
	}
	return []flaw{{Finding: f, aside: [][]byte{bytes.Clone(key)}}}
}

// checkTask: a task whose message has ended is no fault, it ends when it is due.
func checkTask(src verifySource, key, row []byte) []flaw {
	t, ok := parseTask(key)
	if !ok || decodeTaskRow(row, &t) != nil {
		return unreadable("task_damaged", key, codec.ErrDamaged)
	}
	where, ok, err := readPlace(src, t.Message)
	f := finding("task_orphaned", key, "its message is not there, or another recipient's")
	f.Message, f.Recipient = t.Message, t.Recipient
	if err != nil || ok && where.recipient == t.Recipient {
		return nil
	}
	return []flaw{{Finding: f, aside: [][]byte{bytes.Clone(key)}}}
}

// checkIdem: the messages behind a key may be purged already, so of its receipts only the day can be held against it.
func checkIdem(_ verifySource, key, row []byte) []flaw {
	k, err := decodeIdem(row)
	if err != nil || len(key) != 53 {
		return unreadable("key_damaged", key, codec.ErrDamaged)
	}
	if day := idemDay(k.expires); day != binary.BigEndian.Uint32(key[1:]) {
		right := append(appendIdemDay(nil, day), key[5:]...)
		return []flaw{{
			Finding: finding("key_misplaced", key, "it ends on day %d and would be forgotten or kept as of another", day),
			set:     []pair{{right, bytes.Clone(row)}}, aside: [][]byte{bytes.Clone(key)},
		}}
	}
	return nil
}

func checkTrimmed(_ verifySource, key, row []byte) []flaw {
	if len(key) != 1 || len(row) != trimmedLen {
		return []flaw{{Finding: finding("trimmed_damaged", key, "where the event log begins is unknown; restore a backup")}}
	}
	return nil
}

// checkAccounts: what is wrong with a credential is for a person to decide.
func checkAccounts(src verifySource, key, row []byte) []flaw {
	switch key[0] {
	case businessKey:
		if json.Unmarshal(row, new(esh3ar.Business)) != nil {
			return []flaw{{Finding: finding("business_damaged", key, "its keys authenticate nobody; make it anew")}}
		}
	case apiKeyKey:
		var k esh3ar.APIKey
		if json.Unmarshal(row, &k) != nil || len(key) != 33 {
			return []flaw{{Finding: finding("api_key_damaged", key, "it authenticates nobody; make a new one")}}
		}
		owned := pair{appendOwned(nil, k.Business, k.ID), bytes.Clone(key[1:])}
		if got, err := getRow(src, owned.key); err == nil && !bytes.Equal(got, owned.row) {
			return []flaw{{Finding: finding("api_key_unlisted", key, "it could not be revoked"), set: []pair{owned}}}
		}
	case planKey:
		if json.Unmarshal(row, new(esh3ar.Plan)) != nil {
			return []flaw{{Finding: finding("plan_damaged", key, "no plan can be read until it is stored anew")}}
		}
	case revokedKey:
		if _, err := parseRevocation(key, row); err != nil {
			return []flaw{{Finding: finding("revocation_damaged", key, "a phone's tokens may be in force that were revoked; revoke them again"), aside: [][]byte{bytes.Clone(key)}}}
		}
	case usageKey:
		if len(key) != usageKeyLen || len(row) != usageLen {
			return []flaw{{Finding: finding("usage_damaged", key, "what a business used that day is unknown"), aside: [][]byte{bytes.Clone(key)}}}
		}
	case ownedKey:
		if got, err := getRow(src, append([]byte{apiKeyKey}, row...)); err == nil && got == nil {
			return []flaw{{Finding: finding("api_key_missing", key, "the key it names is not there"), aside: [][]byte{bytes.Clone(key)}}}
		}
	}
	return nil
}
