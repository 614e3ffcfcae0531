package spill

import "github.com/esh3artech/esh3ar"

// KnownKey answers a call whose idempotency key a call here has: Replayed or Mismatched, and Spilled. Calls in quarantine keep
// their keys. ok tells whether there is one.
func (s *Spill) KnownKey(c *esh3ar.Call) (answer esh3ar.Answer, ok bool, err error) {
	if c.Key == nil || s.held.rows.Load() == 0 {
		return answer, false, nil
	}
	if err := s.enter(); err != nil {
		return answer, false, err
	}
	defer s.inside.Leave()
	known, err := s.keyOf(scopeOf(c))
	if err != nil {
		return answer, false, readError(err)
	}
	if known == nil {
		return answer, false, nil
	}
	return answerKnown(known, c.Key), true, nil
}

func answerKnown(known *esh3ar.Call, key *esh3ar.IdempotencyKey) esh3ar.Answer {
	if known.Key.Fingerprint != key.Fingerprint {
		return esh3ar.Answer{Outcome: esh3ar.Mismatched, Spilled: true}
	}
	return esh3ar.Answer{Outcome: esh3ar.Replayed, Spilled: true, Batch: known.Batch, Receipts: receiptsOf(known)}
}

// keyOf finds the call that has a key which is still in force; nil: there is none. A row of a key that leads to nothing is
// what a damaged call left behind.
func (s *Spill) keyOf(at scope) (*esh3ar.Call, error) {
	pointer, err := s.get(at.append(nil))
	if err != nil || len(pointer) != positionKeyLen {
		return nil, err
	}
	row, err := s.get(pointer)
	if err != nil {
		return nil, err
	}
	if row == nil {
		value, err := s.get(appendPosition(nil, asideKey, parsePosition(pointer)))
		if err != nil || value == nil {
			return nil, err
		}
		if _, _, row, err = decodeAside(value); err != nil {
			return nil, nil
		}
	}
	c, err := decodeCall(row)
	if err != nil || c.Key == nil || c.Key.ExpiresAt <= s.now() || scopeOf(c) != at {
		return nil, nil
	}
	return c, nil
}
