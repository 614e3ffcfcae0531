package bench

import (
	"fmt"
	"math"

	"github.com/esh3artech/esh3ar/internal/bench/rounds"
)

// Curve is a figure over a dimension of the load or of the state of a node.
type Curve struct {
	Dimension string  `json:"dimension"`
	What      string  `json:"what"`
	Unit      string  `json:"unit"`
	Points    []Point `json:"points"`
}

// Point is a figure with its interval at one value of the dimension.
type Point struct {
	X      float64       `json:"x"`
	Spread rounds.Spread `json:"spread"`
}

// Plot writes the curve as SVG, with the area between the bounds of the intervals. The points are evenly spread: a dimension
// grows by factors.
func (c *Curve) Plot(file string) error {
	var labels []string
	var median, low, high []float64
	top := 0.0
	for _, p := range c.Points {
		labels = append(labels, count10(p.X))
		median, low, high = append(median, p.Spread.Median), append(low, p.Spread.Low), append(high, p.Spread.High)
		top = max(top, p.Spread.High)
	}
	p := newChart(fmt.Sprintf("%s over %s, %s", c.What, c.Dimension, c.Unit), 1.2*top, labels)
	p.area(high, low, "#d1e5f0")
	p.line(median, solid)
	for i, v := range median {
		p.note(float64(i)/float64(max(1, len(median)-1)), v, Number(v))
	}
	p.strokes("median", solid)
	p.fills("interval", "#d1e5f0")
	return p.write(file)
}

// count10 formats a count, powers of ten as such.
func count10(x float64) string {
	exponent := math.Round(math.Log10(x))
	if x >= 1000 && math.Pow(10, exponent) == x {
		return fmt.Sprintf(`10<tspan dy="-5" font-size="9">%.0f</tspan>`, exponent)
	}
	return fmt.Sprintf("%.0f", x)
}
