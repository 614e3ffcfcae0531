package bench

// colours of the levels, lowest first: told apart without red and green.
var colours = [len(levels)]string{"#bbbbbb", "#4393c3", "#053061"}

// plot draws the served messages over time, stacked by SLA level with the highest level at the bottom. Two lines show
// the maximum and the offered load.
func (w *overloadMonitor) plot(file string, most float64) error {
	whole := w.samples[len(w.samples)-1].at.Sub(w.samples[0].at)
	c := newChart("Served under twice the capacity, messages per second by SLA level", 2.4*most, timeLabels(whole))
	base := make([]float64, len(w.samples)-1)
	for i := len(w.crowd) - 1; i >= 0; i-- {
		above := add(base, w.rates(i, served))
		c.area(above, base, colours[i])
		base = above
	}
	offered := make([]float64, len(base))
	for i, g := range w.crowd {
		offered = add(offered, w.rates(i, due))
		c.fills(g.level, colours[i])
	}
	c.line(offered, dotted)
	c.strokes("offered", dotted)
	c.level(most, dashed)
	c.strokes("maximum", dashed)
	return c.write(file)
}

func add(a, b []float64) []float64 {
	sum := make([]float64, len(a))
	for i := range sum {
		sum[i] = a[i] + b[i]
	}
	return sum
}
