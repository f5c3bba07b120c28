package dashboard

import (
	"fmt"
	"time"
)

// bar is a bar of a graph: what finished from a time on, until the next bar.
type bar struct {
	From              time.Time
	Succeeded, Failed int
}

// The sizes of a graph are in units of its SVG, which is stretched to the page's width.
const (
	barWidth    = 10
	barGap      = 2
	graphHeight = 100
)

// rect is a part of a bar.
type rect struct{ X, Y, Width, Height int }

// graph is drawn by its template, which also writes it as a table.
type graph struct {
	What               string
	Bars               []bar
	Width, Height, Max int
	Succeeded, Failed  []rect
	// SumSucceeded and SumFailed are the totals of all bars.
	SumSucceeded, SumFailed int
	From, To                time.Time
	// Seconds is set if times are shown with seconds.
	Seconds bool
}

func newGraph(bars []bar, what string) graph {
	g := graph{What: what, Bars: bars, Width: len(bars) * barWidth, Height: graphHeight}
	for _, b := range bars {
		g.Max = max(g.Max, b.Succeeded+b.Failed)
		g.SumSucceeded += b.Succeeded
		g.SumFailed += b.Failed
	}
	for i, b := range bars {
		x, top := i*barWidth+barGap/2, graphHeight
		top = addRect(&g.Succeeded, x, top, b.Succeeded, g.Max)
		addRect(&g.Failed, x, top, b.Failed, g.Max)
	}
	if len(bars) > 1 {
		g.From, g.To = bars[0].From, bars[len(bars)-1].From.Add(bars[1].From.Sub(bars[0].From))
		g.Seconds = bars[1].From.Sub(bars[0].From) < time.Minute
	}
	return g
}

// addRect adds a part of a bar above the bottom, and returns where it ends. Any number but 0
// is visible.
func addRect(rects *[]rect, x, bottom, n, most int) int {
	if n == 0 {
		return bottom
	}
	height := max(2, n*graphHeight/most)
	top := max(0, bottom-height)
	*rects = append(*rects, rect{x, top, barWidth - barGap, bottom - top})
	return top
}

// ViewBox returns the SVG's viewBox.
func (g graph) ViewBox() string { return fmt.Sprintf("0 0 %d %d", g.Width, g.Height) }

// ID returns the id of the table, which stays open when the graph is drawn again.
func (g graph) ID() string { return fmt.Sprintf("table-%d-%t", len(g.Bars), g.Seconds) }

// Label returns the label of a time.
func (g graph) Label(t time.Time) string {
	if g.Seconds {
		return t.UTC().Format("15:04:05")
	}
	return hourOf(t)
}

// Summary returns what a screen reader says.
func (g graph) Summary() string {
	return fmt.Sprintf("%s: %d succeeded, %d failed.", g.What, g.SumSucceeded, g.SumFailed)
}

// Rows returns the rows of the table: the bars in which something finished.
func (g graph) Rows() []bar {
	var rows []bar
	for _, b := range g.Bars {
		if b.Succeeded+b.Failed > 0 {
			rows = append(rows, b)
		}
	}
	return rows
}
