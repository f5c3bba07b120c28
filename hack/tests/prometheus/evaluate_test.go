package prometheus

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/template"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// scrapeInterval is the interval of the tests' series and of the alerts' evaluation.
const scrapeInterval = time.Minute

var engine = promql.NewEngine(promql.EngineOpts{MaxSamples: 100_000, Timeout: time.Minute, Parser: promQL})

// series are what the engine reads, in the notation of promtool's unit tests. The first sample is
// at time 0.
type series []storage.Series

func parseSeries(t *testing.T, lines []string) series {
	t.Helper()
	var all series
	for _, line := range lines {
		set, values, err := promQL.ParseSeriesDesc(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		var samples []chunks.Sample
		for i, value := range values {
			if !value.Omitted {
				samples = append(samples, sample{at: int64(i) * scrapeInterval.Milliseconds(), value: value.Value})
			}
		}
		all = append(all, storage.NewListSeries(set, samples))
	}
	return all
}

// sample is a value at a time in milliseconds.
type sample struct {
	at    int64
	value float64
}

func (s sample) T() int64                      { return s.at }
func (s sample) ST() int64                     { return 0 }
func (s sample) F() float64                    { return s.value }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }

// Querier implements storage.Queryable.
func (s series) Querier(_, _ int64) (storage.Querier, error) {
	return &storage.MockQuerier{SelectMockFunction: func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
		selected := &selection{}
		for _, one := range s {
			matches := func(m *labels.Matcher) bool { return m.Matches(one.Labels().Get(m.Name)) }
			if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !matches(m) }) {
				selected.left = append(selected.left, one)
			}
		}
		return selected
	}}, nil
}

// selection implements storage.SeriesSet.
type selection struct {
	left []storage.Series
	at   storage.Series
}

func (s *selection) Next() bool {
	if len(s.left) == 0 {
		return false
	}
	s.at, s.left = s.left[0], s.left[1:]
	return true
}
func (s *selection) At() storage.Series                { return s.at }
func (s *selection) Err() error                        { return nil }
func (s *selection) Warnings() annotations.Annotations { return nil }

// query returns the values of an expression's results, by their labels.
func (s series) query(t *testing.T, expr string, at time.Time) map[string]promql.Sample {
	t.Helper()
	query, err := engine.NewInstantQuery(context.Background(), s, nil, expr, at)
	if err != nil {
		t.Fatal(err)
	}
	defer query.Close()
	vector, err := query.Exec(context.Background()).Vector()
	if err != nil {
		t.Fatal(err)
	}
	results := map[string]promql.Sample{}
	for _, one := range vector {
		results[one.Metric.String()] = one
	}
	return results
}

// firing returns the labels for which the alert fires: its expression has had a result for them at
// each evaluation within its "for".
func (s series) firing(t *testing.T, rule *rulefmt.Rule, minute int) []string {
	t.Helper()
	at := time.Unix(0, 0).Add(time.Duration(minute) * scrapeInterval)
	firing := s.query(t, rule.Expr, at)
	for ts := at.Add(-time.Duration(rule.For)); ts.Before(at); ts = ts.Add(scrapeInterval) {
		earlier := s.query(t, rule.Expr, ts)
		maps.DeleteFunc(firing, func(labels string, _ promql.Sample) bool {
			_, held := earlier[labels]
			return !held
		})
	}
	for _, one := range firing {
		for _, text := range rule.Annotations {
			expand(t, text, one, at)
		}
	}
	return slices.Sorted(maps.Keys(firing))
}

// expand fails the test for an annotation that Prometheus could not expand.
func expand(t *testing.T, text string, s promql.Sample, at time.Time) {
	t.Helper()
	data := template.AlertTemplateData(s.Metric.Map(), nil, "", s)
	const variables = "{{$labels := .Labels}}{{$value := .Value}}"
	expanded, err := template.NewTemplateExpander(
		context.Background(), variables+text, "annotation", data, model.TimeFromUnixNano(at.UnixNano()), nil, nil, nil,
	).Expand()
	if err != nil || expanded == "" {
		t.Error(fmt.Errorf("%s: %q, %w", text, expanded, err))
	}
}
