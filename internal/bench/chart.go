package bench

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// chart is an SVG line chart with one vertical scale and a legend.
type chart struct {
	strings.Builder
	top   float64 // upper end of the scale
	entry float64 // vertical position of the next legend entry
}

// A chart's measures, in SVG units.
const (
	chartWide, chartHigh    = 900.0, 420.0
	chartLeft, chartTop     = 70.0, 40.0
	chartWidth, chartHeight = 660.0, 320.0
	chartLegend             = chartLeft + chartWidth + 20
	chartLines              = 5 // of the grid
	chartHead               = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" font-family="sans-serif" font-size="13">` + "\n" +
		`<rect width="100%%" height="100%%" fill="white"/>` + "\n"
)

// Strokes of lines.
const (
	dotted = `stroke="#d6604d" stroke-dasharray="2 3"`
	dashed = `stroke="black" stroke-dasharray="8 4"`
	solid  = `stroke="#2166ac" stroke-width="2"`
)

// timeLabels returns the labels of a horizontal axis of time.
func timeLabels(whole time.Duration) []string {
	labels := make([]string, chartLines+1)
	for i := range labels {
		labels[i] = fmt.Sprintf("%.3g s", whole.Seconds()*float64(i)/chartLines)
	}
	return labels
}

// newChart draws axes and grid. The labels of the horizontal axis are evenly spread from its left to its right end.
func newChart(title string, top float64, labels []string) *chart {
	c := &chart{top: top, entry: chartTop + 10}
	fmt.Fprintf(c, chartHead, chartWide, chartHigh)
	fmt.Fprintf(c, `<text x="%g" y="22" font-size="16">%s</text>`+"\n", chartLeft, title)
	for i := range chartLines + 1 {
		part := float64(i) / chartLines
		y := c.y(top * part)
		fmt.Fprintf(c, `<line x1="%g" y1="%.1f" x2="%g" y2="%.1f" stroke="#dddddd"/><text x="%g" y="%.1f" text-anchor="end">%.0f</text>`+"\n",
			chartLeft, y, chartLeft+chartWidth, y, chartLeft-8, y+4, top*part)
	}
	for i, label := range labels {
		x := chartLeft + chartWidth*float64(i)/float64(max(1, len(labels)-1))
		fmt.Fprintf(c, `<text x="%.1f" y="%g" text-anchor="middle">%s</text>`+"\n", x, chartTop+chartHeight+22, label)
	}
	return c
}

func (c *chart) y(value float64) float64 { return chartTop + chartHeight*(1-min(value/c.top, 1)) }

// area fills the area between two lines.
func (c *chart) area(above, below []float64, colour string) {
	fmt.Fprintf(c, `<polygon points="%s %s" fill="%s"/>`+"\n", c.points(above, false), c.points(below, true), colour)
}

// line draws values from left to right.
func (c *chart) line(values []float64, stroke string) {
	fmt.Fprintf(c, `<polyline points="%s" fill="none" %s/>`+"\n", c.points(values, false), stroke)
}

// level draws a constant value.
func (c *chart) level(value float64, stroke string) { c.line([]float64{value, value}, stroke) }

// note writes a label above a value; part is the position in time, from 0 to 1.
func (c *chart) note(part, value float64, words string) {
	anchor := "start"
	if part > 0.9 { // there is no room to the right
		anchor = "end"
	}
	fmt.Fprintf(c, `<text x="%.1f" y="%.1f" font-size="11" text-anchor="%s">%s</text>`+"\n", chartLeft+chartWidth*part, c.y(value)-5, anchor, words)
}

// fills and strokes add a line to the legend.
func (c *chart) fills(what, colour string) {
	fmt.Fprintf(c, `<rect x="%g" y="%g" width="14" height="14" fill="%s"/>`, chartLegend, c.entry, colour)
	c.explain(what)
}

func (c *chart) strokes(what, stroke string) {
	fmt.Fprintf(c, `<line x1="%g" y1="%g" x2="%g" y2="%g" %s/>`, chartLegend, c.entry+8, chartLegend+14, c.entry+8, stroke)
	c.explain(what)
}

func (c *chart) explain(what string) {
	fmt.Fprintf(c, `<text x="%g" y="%g">%s</text>`+"\n", chartLegend+22, c.entry+12, what)
	c.entry += 24
}

// points returns values as SVG points, from left to right or reversed.
func (c *chart) points(values []float64, back bool) string {
	list := make([]string, len(values))
	for i, v := range values {
		at := i
		if back {
			at = len(values) - 1 - i
		}
		x := chartLeft + chartWidth*float64(i)/float64(max(1, len(values)-1))
		list[at] = fmt.Sprintf("%.1f,%.1f", x, c.y(v))
	}
	return strings.Join(list, " ")
}

func (c *chart) write(file string) error {
	c.WriteString("</svg>\n")
	return os.WriteFile(file, []byte(c.String()), 0o600)
}
