package auth

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gorilla/securecookie"
	utilcache "k8s.io/apimachinery/pkg/util/cache"
)

const (
	// cookieName and cookieNameOfTLS are the names of a session's cookie. Browsers accept a
	// cookie whose name begins with __Host- only over TLS, and send it only to the host that
	// set it.
	cookieName      = "workspace-jobs"
	cookieNameOfTLS = "__Host-workspace-jobs"
	// SessionLife is how long a session lasts at most, even if its token lasts longer.
	SessionLife = 12 * time.Hour
	// keySize is the least size of the key that the others are derived from, in bytes.
	keySize = 32
	// signedOut is how many sessions that were ended early are remembered.
	signedOut = 65536
)

// ErrNoSession is returned for a request without a valid session.
var ErrNoSession = errors.New("there is no session: sign in")

// Sessions keeps a caller's token in an encrypted cookie and nothing on the server, so every
// replica with the same key can read it.
type Sessions struct {
	// Proxied is set if browsers use https to reach a proxy in front of the server.
	Proxied bool

	// keys open sessions. The first one also seals them.
	keys  []sessionKeys
	ended *utilcache.LRUExpireCache
}

// sessionKeys are derived from one key.
type sessionKeys struct {
	sealer *securecookie.SecureCookie
	forms  []byte
}

// Session is what the cookie holds.
type Session struct {
	ID      string
	Token   string
	Expires time.Time
}

// NewSessions returns sessions with a key of at least 32 bytes. With nil it makes a key that
// lasts as long as the process. Sessions of other keys are accepted, so that keys can be
// rotated, but none begins with them.
func NewSessions(key []byte, others ...[]byte) (*Sessions, error) {
	if key == nil {
		key = make([]byte, keySize)
		if _, err := rand.Read(key); err != nil {
			return nil, err
		}
	}
	sessions := &Sessions{ended: utilcache.NewLRUExpireCache(signedOut)}
	for _, each := range append([][]byte{key}, others...) {
		derived, err := derive(each)
		if err != nil {
			return nil, err
		}
		sessions.keys = append(sessions.keys, derived)
	}
	return sessions, nil
}

func derive(key []byte) (sessionKeys, error) {
	if len(key) < keySize {
		return sessionKeys{}, fmt.Errorf("the session key has %d bytes and needs at least %d", len(key), keySize)
	}
	keys := map[string][]byte{"sign": nil, "encrypt": nil, "forms": nil}
	for use := range keys {
		derived, err := hkdf.Key(sha256.New, key, nil, "workspace-jobs sessions: "+use, keySize)
		if err != nil {
			return sessionKeys{}, err
		}
		keys[use] = derived
	}
	sealer := securecookie.New(keys["sign"], keys["encrypt"])
	sealer.SetSerializer(securecookie.JSONEncoder{})
	sealer.MaxAge(int(SessionLife / time.Second))
	return sessionKeys{sealer, keys["forms"]}, nil
}

// Begin begins a session: the token goes into a cookie that scripts can't read and other
// sites can't send.
func (s *Sessions) Begin(w http.ResponseWriter, r *http.Request, token string) error {
	session := Session{ID: rand.Text(), Token: token, Expires: time.Now().Add(SessionLife)}
	sealed, err := s.keys[0].sealer.Encode(cookieName, session)
	if err != nil {
		return fmt.Errorf("the token does not fit into a cookie: %w", err)
	}
	http.SetCookie(w, s.cookie(r, sealed, int(SessionLife/time.Second)))
	return nil
}

type openedKey struct{}

// Opened returns the request with its session, so that [Sessions.Of] does not open the
// cookie again wherever the session is needed.
func (s *Sessions) Opened(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), openedKey{}, s.open(r)))
}

// Of returns the request's session, or [ErrNoSession]. A session may end while its request
// is answered.
func (s *Sessions) Of(r *http.Request) (*Session, error) {
	session, opened := r.Context().Value(openedKey{}).(*Session)
	if !opened {
		session = s.open(r)
	}
	if session == nil {
		return nil, ErrNoSession
	}
	if _, over := s.ended.Get(session.ID); over || !time.Now().Before(session.Expires) {
		return nil, ErrNoSession
	}
	return session, nil
}

// open returns the session in the request's cookie; nil if there is none.
func (s *Sessions) open(r *http.Request) *Session {
	sealed, err := r.Cookie(s.nameFor(r))
	if err != nil {
		return nil
	}
	for _, key := range s.keys {
		session := &Session{}
		if key.sealer.Decode(cookieName, sealed.Value, session) == nil {
			return session
		}
	}
	return nil
}

// End ends the request's session, if it has one. This process does not accept a copy of its
// cookie any more.
func (s *Sessions) End(w http.ResponseWriter, r *http.Request) {
	if session, err := s.Of(r); err == nil {
		s.ended.Add(session.ID, true, time.Until(session.Expires))
	}
	http.SetCookie(w, s.cookie(r, "", -1))
}

func (s *Sessions) cookie(r *http.Request, value string, age int) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // without TLS a browser would not send a secure cookie back
		Name: s.nameFor(r), Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: s.secure(r), SameSite: http.SameSiteStrictMode,
	}
}

func (s *Sessions) nameFor(r *http.Request) string {
	if s.secure(r) {
		return cookieNameOfTLS
	}
	return cookieName
}

func (s *Sessions) secure(r *http.Request) bool { return r.TLS != nil || s.Proxied }

// FormToken returns the antiforgery token of the session's forms. Only a page of the session
// has it.
func (s *Sessions) FormToken(session *Session) string {
	return base64.RawURLEncoding.EncodeToString(s.keys[0].formTag(session))
}

// Genuine reports whether the antiforgery token is the session's.
func (s *Sessions) Genuine(session *Session, token string) bool {
	tag, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return false
	}
	for _, key := range s.keys {
		if hmac.Equal(tag, key.formTag(session)) {
			return true
		}
	}
	return false
}

func (k sessionKeys) formTag(session *Session) []byte {
	tag := hmac.New(sha256.New, k.forms)
	tag.Write([]byte(session.ID))
	return tag.Sum(nil)
}
