package autoscale_test

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/autoscale"
)

var plots = flag.String("plots", "", "folder to write the plots of the simulation to")

// Size of a plot in pixels, with room for the axes.
const (
	plotWidth, plotHeight     = 720.0, 230.0
	plotLeft, plotRight       = 34.0, 12.0
	plotTop, plotBottom       = 46.0, 26.0
	demandPoints              = 240
	innerWidth, innerHeight   = plotWidth - plotLeft - plotRight, plotHeight - plotTop - plotBottom
	plotStyle                 = `text{font:12px system-ui,sans-serif;fill:#555}.t{font-size:14px;fill:#222}.g{stroke:#8884;stroke-width:1}.d{fill:#f4a25955;stroke:#d9822b;stroke-width:1.2}.w{fill:none;stroke:#2b6cb0;stroke-width:1.6;stroke-dasharray:4 3}.r{fill:none;stroke:#2f855a;stroke-width:2}.n{fill:#8883}@media(prefers-color-scheme:dark){text{fill:#aaa}.t{fill:#eee}.w{stroke:#63b3ed}.r{stroke:#68d391}}`
	legendDemand, legendReady = "asked for, in nodes' worth of work", "nodes ready"
	legendWanted, legendBlind = "nodes wanted", "nothing known"
)

// plot draws a simulation: demand as an area, ordered and ready nodes as lines, time without data in grey.
type plot struct {
	b      strings.Builder
	length time.Duration
	top    float64
}

func (p *plot) x(at time.Duration) float64 {
	return plotLeft + innerWidth*float64(at)/float64(p.length)
}

func (p *plot) y(v float64) float64 { return plotTop + innerHeight*(1-v/p.top) }

func (p *plot) printf(format string, args ...any) { fmt.Fprintf(&p.b, format, args...) }

func draw(title string, snapshots []snapshot) string {
	p := plot{length: snapshots[len(snapshots)-1].at}
	for i := range snapshots {
		p.top = max(p.top, float64(snapshots[i].wanted), snapshots[i].demand)
	}
	p.top = math.Ceil(p.top) + 0.5
	p.printf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" role="img" aria-label="%s"><style>%s</style>`+"\n", plotWidth, plotHeight, title, plotStyle)
	p.printf(`<text class="t" x="%.0f" y="16">%s</text>`+"\n", plotLeft, title)
	p.legend()
	p.grid()
	p.blind(snapshots)
	p.area(snapshots)
	p.steps("w", snapshots, func(m *snapshot) int { return m.wanted })
	p.steps("r", snapshots, func(m *snapshot) int { return m.ready })
	p.b.WriteString("</svg>\n")
	return p.b.String()
}

func (p *plot) legend() {
	x := plotLeft
	for _, item := range []struct{ class, text string }{{"d", legendDemand}, {"w", legendWanted}, {"r", legendReady}, {"n", legendBlind}} {
		switch item.class {
		case "d", "n":
			p.printf(`<rect class="%s" x="%.0f" y="25" width="18" height="9"/>`, item.class, x)
		default:
			p.printf(`<path class="%s" d="M%.0f 30h18"/>`, item.class, x)
		}
		p.printf(`<text x="%.0f" y="34">%s</text>`+"\n", x+23, item.text)
		x += 45 + 6.3*float64(len(item.text))
	}
}

func (p *plot) grid() {
	every := math.Ceil(p.top / 6)
	for v := 0.0; v <= p.top; v += every {
		p.printf(`<path class="g" d="M%.0f %.1fh%.0f"/><text x="%.0f" y="%.1f" text-anchor="end">%.0f</text>`+"\n", plotLeft, p.y(v), innerWidth, plotLeft-6, p.y(v)+4, v)
	}
	hours := p.length > 6*time.Hour
	step := 10 * time.Minute
	if p.length > 90*time.Minute {
		step = 30 * time.Minute
	}
	if hours {
		step = 3 * time.Hour
	}
	for at := time.Duration(0); at <= p.length; at += step {
		text := fmt.Sprintf("%.0f min", at.Minutes())
		if hours {
			text = fmt.Sprintf("%.0f h", at.Hours())
		}
		p.printf(`<text x="%.1f" y="%.0f" text-anchor="middle">%s</text>`+"\n", min(p.x(at), plotWidth-22), plotHeight-8, text)
	}
}

func (p *plot) blind(snapshots []snapshot) {
	from := time.Duration(-1)
	for i := range snapshots {
		blind := snapshots[i].decision.Reason == autoscale.NoData
		if blind && from < 0 {
			from = snapshots[i].at
		} else if !blind && from >= 0 {
			p.printf(`<rect class="n" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`+"\n", p.x(from), plotTop, p.x(snapshots[i].at)-p.x(from), innerHeight)
			from = -1
		}
	}
}

func (p *plot) area(snapshots []snapshot) {
	p.printf(`<path class="d" d="M%.1f %.1f`, p.x(0), p.y(0))
	every := max(len(snapshots)/demandPoints, 1)
	for i := range snapshots {
		if jump := i > 0 && math.Abs(snapshots[i].demand-snapshots[i-1].demand) > 0.5; jump || i%every == 0 || i == len(snapshots)-1 {
			if jump {
				p.printf("L%.1f %.1f", p.x(snapshots[i].at), p.y(snapshots[i-1].demand))
			}
			p.printf("L%.1f %.1f", p.x(snapshots[i].at), p.y(snapshots[i].demand))
		}
	}
	p.printf(`L%.1f %.1fz"/>`+"\n", p.x(p.length), p.y(0))
}

func (p *plot) steps(class string, snapshots []snapshot, value func(*snapshot) int) {
	p.printf(`<path class="%s" d="M%.1f %.1f`, class, p.x(0), p.y(float64(value(&snapshots[0]))))
	for i := 1; i < len(snapshots); i++ {
		if v := value(&snapshots[i]); v != value(&snapshots[i-1]) {
			p.printf("H%.1fV%.1f", p.x(snapshots[i].at), p.y(float64(v)))
		}
	}
	p.printf(`H%.1f"/>`+"\n", p.x(p.length))
}

func TestPlots_InTheManual_MatchTheSimulation(t *testing.T) {
	t.Parallel()
	for _, c := range traces() {
		drawn := draw(c.title, c.simulation.play(autoscale.Default(), c.start, c.length))
		name := "scaling-" + c.name + ".svg"
		if *plots != "" {
			if err := os.WriteFile(filepath.Join(*plots, name), []byte(drawn), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if kept, err := os.ReadFile(filepath.Join("..", "..", "docs", name)); err != nil || string(kept) != drawn {
			t.Errorf("docs/%s is not what the simulation shows (%v); run: make plots", name, err)
		}
	}
}
