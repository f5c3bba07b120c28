package schedule

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// TestHashNeverChanges compares with values that are fixed forever. If it fails, fix the code,
// not the values: with other ones, every schedule with an H moves.
func TestHashNeverChanges(t *testing.T) {
	t.Parallel()
	for seed, want := range map[string][2]string{
		"workspace-acme/nightly":  {"55 22 9 12 5", "10-59/15 4 15 3-12/3 5"},
		"workspace-globex/hourly": {"19 1 23 11 3", "4-59/15 1 30 2-12/3 4"},
		"a/b":                     {"30 14 22 6 5", "0-59/15 2 26 3-12/3 3"},
	} {
		for i, expression := range []string{"H H H H H", "H/15 H(0-5) H(1-31) H/3 H(mon-fri)"} {
			if got := mustParse(t, expression, "Etc/UTC", seed).String(); got != want[i] {
				t.Errorf("%s: %q is %q, and was %q", seed, expression, got, want[i])
			}
		}
	}
}

const spreadSeeds = 10_000

// TestSpread checks that over many names H takes each value of a field about equally often.
func TestSpread(t *testing.T) {
	t.Parallel()
	for i, f := range fields {
		counts := map[int]int{}
		for n := range spreadSeeds {
			expanded, problem := f.expand("H", hash(seedOf(n), i))
			var value int
			if _, err := fmt.Sscan(expanded, &value); err != nil || problem != "" {
				t.Fatal(expanded, problem, err)
			}
			counts[value]++
		}
		values := f.hashMax - f.min + 1
		even := float64(spreadSeeds) / float64(values)
		chi := 0.0
		for value := f.min; value <= f.hashMax; value++ {
			d := float64(counts[value]) - even
			chi += d * d / even
		}
		// With values-1 degrees of freedom, more than twice as much is practically impossible.
		if len(counts) != values || chi > 2*float64(values)+10 {
			t.Errorf("%s: %d of %d values, chi squared %.1f: %v", f.name, len(counts), values, chi, counts)
		}
	}
}

// TestFieldsAreIndependent checks that H in one field says nothing about H in another.
func TestFieldsAreIndependent(t *testing.T) {
	t.Parallel()
	for a := range fields {
		for b := range a {
			same := 0
			for n := range spreadSeeds {
				if pick(hash(seedOf(n), a), 7) == pick(hash(seedOf(n), b), 7) {
					same++
				}
			}
			if same < spreadSeeds/7-200 || same > spreadSeeds/7+200 {
				t.Errorf("fields %d and %d have the same value for %d of %d names", a+1, b+1, same, spreadSeeds)
			}
		}
	}
}

func seedOf(n int) string { return fmt.Sprintf("workspace-%d/job-%d", n%100, n) }

// TestAgreesWithKubernetes checks at random that Kubernetes' library accepts what Parse accepts, and
// computes the same times.
func TestAgreesWithKubernetes(t *testing.T) {
	t.Parallel()
	const runs = 3000
	random := rand.New(rand.NewPCG(3, 1)) // the same ones each time
	zones := []string{"Etc/UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "America/Havana", "Asia/Kolkata", "Pacific/Apia"}
	taken := 0
	for n := range runs {
		parts := make([]string, len(fields))
		for i := range fields {
			parts[i] = randomField(random, &fields[i])
		}
		zone := zones[random.IntN(len(zones))]
		s, err := Parse(strings.Join(parts, " "), zone, seedOf(n))
		if err != nil {
			continue
		}
		taken++
		after := time.Date(2024, time.January, 1, 0, 0, random.IntN(4*365*24*3600), 0, time.UTC)
		agrees(t, s, zone, after)
	}
	if taken < runs/2 {
		t.Errorf("only %d of %d random schedules are accepted: the test has lost its point", taken, runs)
	}
}

func randomField(random *rand.Rand, f *field) string {
	value := func() int { return f.min + random.IntN(f.max-f.min+1) }
	item := func() string {
		low, high := value(), value()
		low, high = min(low, high), max(low, high)
		step := 1 + random.IntN(high-low+1)
		switch random.IntN(9) {
		case 0:
			return fmt.Sprint(low)
		case 1:
			return fmt.Sprintf("%d-%d", low, high)
		case 2:
			return fmt.Sprintf("%d-%d/%d", low, high, step)
		case 3:
			return "H"
		case 4:
			return fmt.Sprintf("H(%d-%d)", low, high)
		case 5:
			return fmt.Sprintf("H(%d-%d)/%d", low, high, step)
		case 6:
			return fmt.Sprintf("*/%d", step)
		default:
			return "*"
		}
	}
	items := make([]string, 1+random.IntN(3))
	for i := range items {
		items[i] = item()
	}
	return strings.Join(items, ",")
}
