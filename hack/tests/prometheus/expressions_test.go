package prometheus

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

var promQL = parser.NewParser(parser.Options{})

// targetLabels are the labels that Prometheus adds to every series of config/prometheus'
// ServiceMonitor.
var targetLabels = []string{"job", "instance", "namespace", "service", "endpoint", "pod", "container"}

// values are those that our labels can have.
var values = map[string][]string{
	"job": {"workspace-jobs"},
	"state": func() (states []string) {
		for _, state := range v1alpha1.JobStates() {
			states = append(states, string(state))
		}
		return states
	}(),
	"outcome": {
		string(v1alpha1.OutcomeSucceeded), string(v1alpha1.OutcomeFailed), string(v1alpha1.OutcomePermanentFailure),
		string(v1alpha1.OutcomeTimedOut), string(v1alpha1.OutcomeInterrupted), string(v1alpha1.OutcomeNotStarted),
		string(v1alpha1.OutcomeLost), string(v1alpha1.OutcomeCancelled), string(v1alpha1.OutcomeReplaced),
	},
}

// checker tracks the labels through an expression.
type checker struct {
	exposed exposed
	// used holds the names of the series that were selected.
	used   map[string]bool
	faults []string
}

func newChecker(e exposed) *checker { return &checker{exposed: e, used: map[string]bool{}} }

func (c *checker) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
}

// check parses an expression and returns the labels that its result can have.
func (c *checker) check(expr string) []string {
	parsed, err := promQL.ParseExpr(expr)
	if err != nil {
		c.fault("%v", err)
		return nil
	}
	return c.labelsOf(parsed)
}

func (c *checker) labelsOf(expr parser.Expr) []string {
	switch e := expr.(type) {
	case *parser.VectorSelector:
		return c.selected(e)
	case *parser.MatrixSelector:
		return c.labelsOf(e.VectorSelector)
	case *parser.SubqueryExpr:
		return c.labelsOf(e.Expr)
	case *parser.ParenExpr:
		return c.labelsOf(e.Expr)
	case *parser.AggregateExpr:
		return c.aggregated(e)
	case *parser.BinaryExpr:
		left, right := c.labelsOf(e.LHS), c.labelsOf(e.RHS)
		if e.Op == parser.LOR {
			return append(left, right...)
		}
		return left
	case *parser.Call:
		return c.called(e)
	case *parser.NumberLiteral:
		return nil
	default:
		c.fault("%T is not understood: %s", expr, expr)
		return nil
	}
}

func (c *checker) selected(e *parser.VectorSelector) []string {
	known, ok := c.exposed[e.Name]
	if !ok {
		c.fault("no metric is called %q", e.Name)
		return nil
	}
	c.used[e.Name] = true
	known = slices.Concat(known, targetLabels)
	for _, m := range e.LabelMatchers {
		if m.Name == model.MetricNameLabel {
			continue
		}
		if !slices.Contains(known, m.Name) {
			c.fault("%s has no label %q", e.Name, m.Name)
		}
		c.matched(m)
	}
	return known
}

// matched reports a value that the label never has, such as "failed" for "Failed".
func (c *checker) matched(m *labels.Matcher) {
	for _, value := range strings.Split(m.Value, "|") {
		if possible, ok := values[m.Name]; ok && !slices.Contains(possible, value) {
			c.fault("the label %q is never %q", m.Name, value)
		}
	}
}

func (c *checker) aggregated(e *parser.AggregateExpr) []string {
	inner := c.labelsOf(e.Expr)
	if e.Op == parser.TOPK {
		return inner
	}
	if e.Without {
		c.fault("without is not understood: %s", e)
	}
	for _, label := range e.Grouping {
		if !slices.Contains(inner, label) {
			c.fault("nothing has the label %q in %s", label, e)
		}
	}
	return e.Grouping
}

func (c *checker) called(e *parser.Call) []string {
	found := map[string]bool{}
	for _, arg := range e.Args {
		for _, label := range c.labelsOf(arg) {
			found[label] = true
		}
	}
	switch e.Func.Name {
	case "absent":
		return nil
	case "histogram_quantile":
		if !found["le"] {
			c.fault("no label le is left in %s", e)
		}
		delete(found, "le")
	}
	return slices.Collect(maps.Keys(found))
}

var (
	alertLabel  = regexp.MustCompile(`\$labels\.(\w+)`)
	legendLabel = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)
)

// named reports labels in a text that the expression's result does not have.
func (c *checker) named(pattern *regexp.Regexp, text string, has []string) {
	for _, found := range pattern.FindAllStringSubmatch(text, -1) {
		if !slices.Contains(has, found[1]) {
			c.fault("the result has no label %q for %q", found[1], text)
		}
	}
}
