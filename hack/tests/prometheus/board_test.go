package prometheus

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

const boardPath = "config/prometheus/grafana-board.json"

var ourName = regexp.MustCompile(`workspace_jobs_\w+`)

type panel struct {
	ID         int
	Type       string
	Title      string
	Datasource struct{ Type, UID string }
	GridPos    struct{ H, W, X, Y int }
	Targets    []struct {
		Datasource                struct{ Type, UID string }
		Expr, RefID, LegendFormat string
	}
}

type board struct {
	UID, Title string
	Panels     []panel
	Templating struct {
		List []struct{ Name, Type, Definition string }
	}
}

func readBoard(t *testing.T) board {
	t.Helper()
	var b board
	if err := json.Unmarshal(read(t, boardPath), &b); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestTheBoardIsGrafanas checks that Grafana's own types accept the board and know all its fields.
func TestTheBoardIsGrafanas(t *testing.T) {
	t.Parallel()
	plugins.RegisterDefaultPlugins()
	var d dashboard.Dashboard //nolint:staticcheck // not all sidecars and imports accept the newer schema yet
	// If nothing is wrong, it returns an empty list of errors, which is not a nil error.
	if err := d.UnmarshalJSONStrict(read(t, boardPath)); err != nil && err.Error() != "" {
		t.Fatal(err)
	}
	if err := d.Validate(); err != nil && err.Error() != "" {
		t.Error(err)
	}
}

// asked replaces the board's variables with values, as Grafana does.
var asked = strings.NewReplacer("$__rate_interval", "5m", "$__range", "6h", "$queue", ".*")

func TestTheBoardNamesWhatExists(t *testing.T) {
	t.Parallel()
	e := all(t)
	for _, p := range readBoard(t).Panels {
		for _, target := range p.Targets {
			c := newChecker(e)
			expr := asked.Replace(target.Expr)
			if strings.Contains(expr, "$") {
				t.Errorf("%s: %s has a variable that the board does not have", p.Title, expr)
			}
			c.named(legendLabel, target.LegendFormat, c.check(expr))
			for _, fault := range c.faults {
				t.Errorf("%s: %s", p.Title, fault)
			}
		}
	}
}

// TestTheBoardIsWhole checks that panels don't overlap, and that all query the selected data
// source.
func TestTheBoardIsWhole(t *testing.T) {
	t.Parallel()
	b := readBoard(t)
	ids, taken := map[int]bool{}, map[string]string{}
	for _, p := range b.Panels {
		if ids[p.ID] || p.ID == 0 || p.Title == "" {
			t.Errorf("panel %d %q needs a unique id and a title", p.ID, p.Title)
		}
		ids[p.ID] = true
		if p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("%s is wider than the board", p.Title)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				cell := fmt.Sprint(p.GridPos.X+x, " ", p.GridPos.Y+y)
				if other, ok := taken[cell]; ok {
					t.Fatalf("%s overlaps %s", p.Title, other)
				}
				taken[cell] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		refs := map[string]bool{}
		if p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
			t.Errorf("%s asks %q for %d things", p.Title, p.Datasource.UID, len(p.Targets))
		}
		for _, target := range p.Targets {
			if target.Datasource.UID != "${datasource}" || refs[target.RefID] || target.RefID == "" {
				t.Errorf("%s: target %q asks %q", p.Title, target.RefID, target.Datasource.UID)
			}
			refs[target.RefID] = true
		}
	}
	var variables []string
	for _, v := range b.Templating.List {
		variables = append(variables, v.Name+" "+v.Type)
	}
	if got := strings.Join(variables, ", "); got != "datasource datasource, queue query" {
		t.Errorf("the variables are: %s", got)
	}
}

// TestEveryMetricIsUsed checks that an alert or the board uses each of the operator's metrics,
// that the page explains it, and that every metric on the page exists, there or in the server.
func TestEveryMetricIsUsed(t *testing.T) {
	t.Parallel()
	e := all(t)
	c := newChecker(e)
	for _, rule := range alerts(t) {
		c.check(rule.Expr)
	}
	for _, p := range readBoard(t).Panels {
		for _, target := range p.Targets {
			c.check(asked.Replace(target.Expr))
		}
	}
	page := string(read(t, "docs/monitoring.md"))
	for name := range ours(t) {
		if strings.HasSuffix(name, "_sum") || strings.HasSuffix(name, "_count") {
			continue
		}
		if !c.used[name] {
			t.Errorf("no alert and no panel uses %s", name)
		}
		if !strings.Contains(page, "`"+strings.TrimSuffix(name, "_bucket")+"`") {
			t.Errorf("docs/monitoring.md does not explain %s", name)
		}
	}
	server := string(read(t, "api/server/run.go"))
	for _, name := range ourName.FindAllString(page, -1) {
		_, series := e[name]
		_, histogram := e[name+"_bucket"]
		if !series && !histogram && !strings.Contains(server, strconv.Quote(name)) {
			t.Errorf("docs/monitoring.md mentions %s, which does not exist", name)
		}
	}
}
