package handlers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/openradius/workspace-jobs/runner"
)

const (
	// requestTimeout bounds one request, its body included.
	requestTimeout = time.Minute
	// maxBody is the largest page, in bytes.
	maxBody = 16 << 20
	// longestWait is the longest delay that Retry-After can ask for.
	longestWait = 24 * time.Hour
	// maxRedirects within the same origin.
	maxRedirects = 5
)

// fetcher reads pages of one origin.
type fetcher struct {
	client *http.Client
	origin string
	// token is sent with each request. Empty means that there is none.
	token string
}

// errElsewhere is returned for URLs of another origin, which must not get the token.
var errElsewhere = errors.New("it leads to another server than url does")

// newFetcher returns a fetcher for the origin of the first page. check returns an error for
// each address that must not be connected to.
func newFetcher(first string, check func(netip.Addr) error) (*fetcher, error) {
	u, err := url.Parse(first)
	if err != nil {
		return nil, runner.Permanent(errors.New("url is not a URL"))
	}
	f := &fetcher{origin: originOf(u)}
	f.client = &http.Client{
		Timeout:   requestTimeout,
		Transport: newTransport(check),
		CheckRedirect: func(request *http.Request, via []*http.Request) error {
			if !f.sameOrigin(request.URL) {
				return errElsewhere
			}
			if len(via) > maxRedirects {
				return errors.New("too many redirects")
			}
			return nil
		},
	}
	return f, nil
}

func (f *fetcher) sameOrigin(u *url.URL) bool { return originOf(u) == f.origin && u.User == nil }

// response is a server's answer to a request for a page.
type response struct {
	// unchanged says that the page still has the ETag of the request.
	unchanged bool
	body      []byte
	etag      string
	link      []string
}

// get reads a page, unless its ETag is still etag. Its errors quote the URL without
// its query, which may contain secrets.
func (f *fetcher) get(ctx context.Context, address, etag string) (response, error) {
	target, err := url.Parse(address)
	if err != nil || !f.sameOrigin(target) {
		return response{}, runner.Permanent(fmt.Errorf("the next page was not requested: %w", errElsewhere))
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return response{}, runner.Permanent(errors.New("the page's URL is not a URL"))
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "workspace-jobs")
	if f.token != "" {
		request.Header.Set("Authorization", "Bearer "+f.token)
	}
	if etag != "" {
		request.Header.Set("If-None-Match", etag)
	}
	answer, err := f.client.Do(request)
	if err != nil {
		return response{}, requestError(target, err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode == http.StatusNotModified && etag != "" {
		return response{unchanged: true, etag: etag}, nil
	}
	if answer.StatusCode != http.StatusOK {
		return response{}, statusError(target, answer)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxBody+1))
	if err != nil {
		return response{}, requestError(target, err)
	}
	if len(body) > maxBody {
		return response{}, runner.Permanent(fmt.Errorf("GET %s: the page is larger than %d MiB", shown(target), maxBody>>20))
	}
	return response{body: body, etag: answer.Header.Get("ETag"), link: answer.Header.Values("Link")}, nil
}

// shown returns a URL without the parts that may be secret.
func shown(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// requestError removes the URL that net/http's errors quote.
func requestError(target *url.URL, err error) error {
	var quoting *url.Error
	if errors.As(err, &quoting) {
		if quoting.Timeout() {
			return fmt.Errorf("GET %s: no answer within %s", shown(target), requestTimeout)
		}
		err = quoting.Err
	}
	var refused refusedAddress
	if errors.As(err, &refused) {
		return runner.Permanent(fmt.Errorf("GET %s: %w", shown(target), refused))
	}
	if errors.Is(err, errElsewhere) {
		return runner.Permanent(fmt.Errorf("GET %s: did not follow a redirect: %w", shown(target), err))
	}
	return fmt.Errorf("GET %s: %w", shown(target), err)
}

// statusError returns a permanent error, unless the answer may be better next time.
func statusError(target *url.URL, answer *http.Response) error {
	err := fmt.Errorf("GET %s: the server answered %s", shown(target), answer.Status)
	again := answer.StatusCode >= 500 || answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode == http.StatusRequestTimeout
	if !again {
		return runner.Permanent(err)
	}
	if wait, ok := retryAfter(answer.Header.Get("Retry-After"), time.Now()); ok {
		return runner.RetryAfter(err, wait)
	}
	return err
}

// retryAfter reads the header Retry-After: seconds, or a date.
func retryAfter(value string, now time.Time) (time.Duration, bool) {
	if seconds, err := strconv.Atoi(value); err == nil && seconds >= 0 {
		return min(time.Duration(min(seconds, int(longestWait/time.Second)))*time.Second, longestWait), true
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(0, at.Sub(now)), longestWait), true
	}
	return 0, false
}
