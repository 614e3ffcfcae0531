package bench

import (
	"context"
	"errors"
)

// allocations counts what a node allocates while it handles messages, as its own metrics report it. A scrape allocates too; over
// a few thousand messages that is less than one allocation each.
type allocations struct {
	objects, bytes float64
	messages       int64
}

// watch reads the metrics now and when the returned function is called, which adds the difference. done returns the number of
// handled messages so far.
func (a *allocations) watch(ctx context.Context, s *server, done func() int64) (end func(*error)) {
	objects, bytes, before := readAllocations(ctx, s)
	messages := done()
	return func(err *error) {
		nowObjects, nowBytes, after := readAllocations(ctx, s)
		a.objects += nowObjects - objects
		a.bytes += nowBytes - bytes
		a.messages += done() - messages
		*err = errors.Join(*err, before, after)
	}
}

func readAllocations(ctx context.Context, s *server) (objects, bytes float64, err error) {
	objects, first := s.metric(ctx, "go_memstats_mallocs_total")
	bytes, second := s.metric(ctx, "go_memstats_alloc_bytes_total")
	return objects, bytes, errors.Join(first, second)
}

// reportAllocations adds the allocations per message; least is 0 if there is no budget.
func (r *run) reportAllocations(scenario string, a *allocations, budget string, least, aim float64) {
	perMessage := a.objects / float64(a.messages)
	if least > 0 {
		r.report.budget(scenario, "allocations per message", perMessage, "", budget, least, aim, false)
	} else {
		r.report.add(scenario, "allocations per message", perMessage, "")
	}
	r.report.add(scenario, "allocated per message", a.bytes/float64(a.messages), "bytes")
}
