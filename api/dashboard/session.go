package dashboard

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/openradius/workspace-jobs/api/auth"
)

// user is a user who has signed in.
type user struct {
	session *auth.Session
	caller  *auth.Caller
}

type userHandler func(w http.ResponseWriter, r *http.Request, u *user)

// user is the only way to a page. It sends a user without a session to the sign-in page, which
// leads back.
func (d *dashboard) user(next userHandler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		u, err := d.userOf(r)
		if err == nil {
			next(w, r, u)
			return
		}
		d.noUser(w, r, err)
	}
}

func (d *dashboard) userOf(r *http.Request) (*user, error) {
	session, err := d.sessions.Of(r)
	if err != nil {
		return nil, err
	}
	caller, err := d.authenticator.CallerAgain(r.Context(), session.Token)
	if err != nil {
		return nil, err
	}
	return &user{session, caller}, nil
}

// noUser redirects to the sign-in page.
func (d *dashboard) noUser(w http.ResponseWriter, r *http.Request, err error) {
	query := url.Values{}
	switch {
	case errors.Is(err, auth.ErrUnauthenticated):
		d.sessions.End(w, r)
		query.Set("why", "refused")
	case !errors.Is(err, auth.ErrNoSession):
		d.unavailable(w, r, err)
		return
	case r.Method != http.MethodGet:
		query.Set("why", "ended")
	}
	if r.Method == http.MethodGet {
		query.Set("next", r.URL.RequestURI())
	}
	seeOther(w, r, own+"/sign-in?"+query.Encode())
}

// reasons say why the user must sign in, by the word in the query.
var reasons = map[string]string{
	"refused": "The cluster does not accept your token any more: it has expired or was revoked. Sign in with a new one.",
	"ended":   "Your session has ended, so what you sent was not done. Sign in again.",
	"out":     "You have signed out.",
}

// signInData is what the sign-in page shows.
type signInData struct {
	base
	Next    string
	Problem string
	Notice  string
}

func (d *dashboard) signInPage(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	d.writeSignIn(w, r, http.StatusOK, signInData{Next: localPath(query.Get("next")), Notice: reasons[query.Get("why")]})
}

func (d *dashboard) writeSignIn(w http.ResponseWriter, r *http.Request, status int, data signInData) {
	data.Title = "Sign in"
	d.write(w, r, status, "sign-in", &data)
}

// signIn begins a session for a token that the cluster accepts. The form has no antiforgery
// token, since there is no session yet, but it must come from this server's own page.
func (d *dashboard) signIn(w http.ResponseWriter, r *http.Request) {
	next := localPath(r.PostFormValue("next"))
	token := strings.TrimSpace(r.PostFormValue("token"))
	if token == "" {
		d.writeSignIn(w, r, http.StatusUnprocessableEntity, signInData{Next: next, Problem: "Paste a token: the field is empty."})
		return
	}
	_, err := d.authenticator.SignIn(r.Context(), token)
	switch {
	case errors.Is(err, auth.ErrTooManyFailures):
		w.Header().Set("Retry-After", "60")
		d.writeSignIn(w, r, http.StatusTooManyRequests, signInData{Next: next, Problem: "Too many tokens from your address were refused. Try again in a minute."})
		return
	case errors.Is(err, auth.ErrUnauthenticated):
		d.writeSignIn(w, r, http.StatusUnauthorized, signInData{Next: next, Problem: "The cluster does not accept this token: it is wrong, expired, revoked, or of another cluster. Create a new one and try again."})
		return
	case err != nil:
		d.unavailable(w, r, err)
		return
	}
	// A session that somebody else may have planted in this browser ends here.
	d.sessions.End(w, r)
	if err := d.sessions.Begin(w, r, token); err != nil {
		d.writeSignIn(w, r, http.StatusUnprocessableEntity, signInData{Next: next, Problem: "This token is too long for a browser's cookie, which has room for about 2,800 characters. Use a ServiceAccount's token, or one with fewer claims."})
		return
	}
	seeOther(w, r, next)
}

func (d *dashboard) signOut(w http.ResponseWriter, r *http.Request) {
	session, err := d.sessions.Of(r)
	if err == nil && !d.genuine(r, session) {
		d.refuse(w, r, http.StatusForbidden, notGenuine)
		return
	}
	if err == nil {
		d.authenticator.Forget(session.Token)
	}
	d.sessions.End(w, r)
	seeOther(w, r, own+"/sign-in?why=out")
}

const notGenuine = "This form is not from your session, so nothing was done. Reload the page and try again."

// genuine reports whether the request has the session's antiforgery token.
func (d *dashboard) genuine(r *http.Request, session *auth.Session) bool {
	token := r.Header.Get("X-Antiforgery-Token")
	if token == "" {
		token = r.PostFormValue("antiforgery")
	}
	return d.sessions.Genuine(session, token)
}

// localPath returns a path of the dashboard to return to; Root for whatever leads elsewhere.
func localPath(next string) string {
	parsed, err := url.Parse(next)
	if err != nil || parsed.IsAbs() || parsed.Host != "" || parsed.User != nil || strings.ContainsAny(next, "\\\r\n\t\x00") {
		return Root
	}
	clean := path.Clean(parsed.Path)
	if clean != Root && !strings.HasPrefix(clean, Root+"/") || strings.HasPrefix(clean, own+"/") {
		return Root
	}
	return (&url.URL{Path: clean, RawQuery: parsed.RawQuery}).RequestURI()
}

// over reports whether the user's session has ended or the cluster does not accept the token
// any more.
func (d *dashboard) over(ctx context.Context, r *http.Request, u *user) bool {
	if _, err := d.sessions.Of(r); err != nil {
		return true
	}
	_, err := d.authenticator.CallerAgain(ctx, u.session.Token)
	return errors.Is(err, auth.ErrUnauthenticated)
}
