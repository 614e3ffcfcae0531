package bench

import (
	"fmt"
	"os"
	"strings"
)

// The plot's measures, in SVG units.
const (
	plotWide, plotHigh    = 900.0, 420.0
	plotLeft, plotTop     = 70.0, 40.0
	plotWidth, plotHeight = 660.0, 320.0
	plotLegend            = plotLeft + plotWidth + 20
	plotLines             = 5 // of the grid
	plotHead              = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" font-family="sans-serif" font-size="13">` + "\n" +
		`<rect width="100%%" height="100%%" fill="white"/>` + "\n"
)

// colours of the levels, lowest first: told apart without red and green.
var colours = [len(levels)]string{"#bbbbbb", "#4393c3", "#053061"}

// plot draws who is served over time: the levels on top of each other, the highest below; the lines are the maximum and what
// is offered.
func (w *watch) plot(file string, most float64) error {
	top := 2.4 * most
	var b strings.Builder
	fmt.Fprintf(&b, plotHead, plotWide, plotHigh)
	fmt.Fprintf(&b, `<text x="%g" y="22" font-size="16">Served under twice the capacity, messages per second by SLA level</text>`+"\n", plotLeft)
	for i := range plotLines + 1 {
		value := top * float64(i) / plotLines
		y := plotTop + plotHeight*(1-value/top)
		fmt.Fprintf(&b, `<line x1="%g" y1="%.1f" x2="%g" y2="%.1f" stroke="#dddddd"/><text x="%g" y="%.1f" text-anchor="end">%.0f</text>`+"\n", plotLeft, y, plotLeft+plotWidth, y, plotLeft-8, y+4, value)
	}
	base := make([]float64, len(w.samples)-1)
	for i := len(w.crowd) - 1; i >= 0; i-- {
		above := add(base, w.rates(i, served))
		fmt.Fprintf(&b, `<polygon points="%s %s" fill="%s"/>`+"\n", points(above, top, false), points(base, top, true), colours[i])
		base = above
	}
	offered := make([]float64, len(base))
	for i := range w.crowd {
		offered = add(offered, w.rates(i, due))
	}
	fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="#d6604d" stroke-dasharray="2 3"/>`+"\n", points(offered, top, false))
	y := plotTop + plotHeight*(1-most/top)
	fmt.Fprintf(&b, `<line x1="%g" y1="%.1f" x2="%g" y2="%.1f" stroke="black" stroke-dasharray="8 4"/>`+"\n", plotLeft, y, plotLeft+plotWidth, y)
	w.legend(&b)
	b.WriteString("</svg>\n")
	return os.WriteFile(file, []byte(b.String()), 0o600)
}

func (w *watch) legend(b *strings.Builder) {
	y := plotTop + 10
	for i, g := range w.crowd {
		fmt.Fprintf(b, `<rect x="%g" y="%g" width="14" height="14" fill="%s"/><text x="%g" y="%g">%s</text>`+"\n", plotLegend, y, colours[i], plotLegend+22, y+12, g.level)
		y += 24
	}
	fmt.Fprintf(b, `<line x1="%g" y1="%g" x2="%g" y2="%g" stroke="#d6604d" stroke-dasharray="2 3"/><text x="%g" y="%g">offered</text>`+"\n", plotLegend, y+8, plotLegend+14, y+8, plotLegend+22, y+12)
	fmt.Fprintf(b, `<line x1="%g" y1="%g" x2="%g" y2="%g" stroke="black" stroke-dasharray="4 2"/><text x="%g" y="%g">maximum</text>`+"\n", plotLegend, y+32, plotLegend+14, y+32, plotLegend+22, y+36)
	seconds := w.samples[len(w.samples)-1].at.Sub(w.samples[0].at).Seconds()
	for i := range plotLines + 1 {
		part := float64(i) / plotLines
		fmt.Fprintf(b, `<text x="%.1f" y="%g" text-anchor="middle">%.3g s</text>`+"\n", plotLeft+plotWidth*part, plotTop+plotHeight+22, seconds*part)
	}
}

// points are values as a line from left to right, or back.
func points(values []float64, top float64, back bool) string {
	list := make([]string, len(values))
	for i, v := range values {
		at := i
		if back {
			at = len(values) - 1 - i
		}
		x := plotLeft + plotWidth*float64(i)/float64(max(1, len(values)-1))
		list[at] = fmt.Sprintf("%.1f,%.1f", x, plotTop+plotHeight*(1-min(v/top, 1)))
	}
	return strings.Join(list, " ")
}

func add(a, b []float64) []float64 {
	sum := make([]float64, len(a))
	for i := range sum {
		sum[i] = a[i] + b[i]
	}
	return sum
}
