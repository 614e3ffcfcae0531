package postgres

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/jackc/pgx/v5"

	"github.com/esh3artech/esh3ar"
)

var readKey = statement{"read_key", `SELECT fingerprint, batch, ids, seqs, recipients, correlations FROM idempotency_keys
	WHERE business = $1 AND key = $2 AND expires_at > $3`}

// keySum returns the stored form of an idempotency key, which has a fixed length.
func keySum(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// answerFromKeys answers calls whose key another call has used.
func (s *Store) answerFromKeys(ctx context.Context, calls []*esh3ar.Call, which []int, answers []esh3ar.Answer) error {
	for _, n := range which {
		answer, ok, err := s.readKeyAnswer(ctx, calls[n])
		if err != nil {
			// Other calls of the batch are stored, so the outcome is not a plain failure.
			return esh3ar.Errorf(esh3ar.OutcomeUnknown, "append: read idempotency key: %w", err)
		}
		if !ok { // the key has expired since the append
			again, err := s.Append(ctx, calls[n:n+1])
			if err != nil {
				return esh3ar.Errorf(esh3ar.OutcomeUnknown, "append: %w", err)
			}
			answer = again[0]
		}
		answers[n] = answer
	}
	return nil
}

// readKeyAnswer returns the stored answer of a call's key, and whether there is one.
func (s *Store) readKeyAnswer(ctx context.Context, c *esh3ar.Call) (a esh3ar.Answer, ok bool, err error) {
	err = s.query(ctx, readKey, func(rows pgx.Rows) error {
		var fingerprint []byte
		var ids [][16]byte
		var seqs, recipients []int64
		var correlations []string
		if err := rows.Scan(&fingerprint, (*[16]byte)(&a.Batch.UUID), &ids, &seqs, &recipients, &correlations); err != nil {
			return err
		}
		ok = true
		if !bytes.Equal(fingerprint, c.Key.Fingerprint[:]) {
			a = esh3ar.Answer{Outcome: esh3ar.Mismatched}
			return nil
		}
		a.Outcome = esh3ar.Replayed
		a.Receipts = receipts(ids, seqs, recipients, correlations)
		return nil
	}, [16]byte(c.Business.UUID), keySum(c.Key.Key), int64(s.now()))
	return a, ok, err
}

// KnownKey implements esh3ar.KeyReader.
func (s *Store) KnownKey(ctx context.Context, business esh3ar.BusinessID, key *esh3ar.IdempotencyKey) (answer esh3ar.Answer, known bool, err error) {
	answer, known, err = s.readKeyAnswer(ctx, &esh3ar.Call{Business: business, Key: key})
	if err != nil {
		return answer, false, readError("read idempotency key", err)
	}
	return answer, known, nil
}

// receipts are the answer of a call, from the columns of its key.
func receipts(ids [][16]byte, seqs, recipients []int64, correlations []string) []esh3ar.Receipt {
	var all []esh3ar.Receipt
	for i := range ids {
		r := esh3ar.Receipt{Seq: esh3ar.Seq(seqs[i]), Status: esh3ar.Queued, Recipient: esh3ar.Recipient(recipients[i]), CorrelationID: correlations[i]}
		r.ID.UUID = ids[i]
		if r.Seq == 0 {
			r.Status = esh3ar.Scheduled
		}
		all = append(all, r)
	}
	return all
}
