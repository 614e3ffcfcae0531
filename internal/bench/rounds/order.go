package rounds

import "context"

// Each calls measure for every variant in every round, with indexes from 0. The order alternates from round to round, so
// that no variant always runs on a machine that another one has just heated or filled. It stops at the first error and when
// ctx ends.
func Each(ctx context.Context, rounds, variants int, measure func(round, variant int) error) error {
	for round := range rounds {
		for i := range variants {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			variant := i
			if round%2 == 1 {
				variant = variants - 1 - i
			}
			if err := measure(round, variant); err != nil {
				return err
			}
		}
	}
	return nil
}
