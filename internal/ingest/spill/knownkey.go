package spill

import "github.com/esh3artech/esh3ar"

// KnownKey answers a call if a call in the spill has its idempotency key: Replayed or Mismatched, and Spilled. Calls in quarantine keep
// their keys.
func (s *Spill) KnownKey(c *esh3ar.Call) (answer esh3ar.Answer, known bool, err error) {
	if c.Key == nil || s.index.rows.Load() == 0 {
		return answer, false, nil
	}
	if err := s.enter(); err != nil {
		return answer, false, err
	}
	defer s.gate.Leave()
	owner, err := s.callWithKey(keyHashOf(c))
	if err != nil {
		return answer, false, readError(err)
	}
	if owner == nil {
		return answer, false, nil
	}
	return answerKnownKey(owner, c.Key), true, nil
}

// answerKnownKey answers a call with the key that the call owner has.
func answerKnownKey(owner *esh3ar.Call, key *esh3ar.IdempotencyKey) esh3ar.Answer {
	if owner.Key.Fingerprint != key.Fingerprint {
		return esh3ar.Answer{Outcome: esh3ar.Mismatched, Spilled: true}
	}
	return esh3ar.Answer{Outcome: esh3ar.Replayed, Spilled: true, Batch: owner.Batch, Receipts: receiptsOf(owner)}
}

// callWithKey returns the call that has a key, nil if there is none or if the key has expired. A key row whose call is missing or cannot
// be read belongs to a damaged call and counts as none.
func (s *Spill) callWithKey(hash keyHash) (*esh3ar.Call, error) {
	pointer, err := s.get(hash.append(nil))
	if err != nil || len(pointer) != positionKeyLen {
		return nil, err
	}
	row, err := s.get(pointer)
	if err != nil {
		return nil, err
	}
	if row == nil { // not in the queue: look in the quarantine
		value, err := s.get(appendPosition(nil, quarantineKey, parsePosition(pointer)))
		if err != nil || value == nil {
			return nil, err
		}
		_, _, row, err = decodeQuarantineRow(value)
		if err != nil {
			return nil, nil
		}
	}
	c, err := decodeCall(row)
	if err != nil || c.Key == nil || c.Key.ExpiresAt <= s.now() || keyHashOf(c) != hash {
		return nil, nil
	}
	return c, nil
}
