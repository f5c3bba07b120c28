package testenv

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// ExpiredToken returns the token with its times in the past, signed with the key of the
// cluster that this kubeconfig is for. It has to be a cluster of hack/env/cluster.
func ExpiredToken(kubeconfig, token string) (string, error) {
	text, err := os.ReadFile(filepath.Join(filepath.Dir(kubeconfig), "pki", "service-account.key"))
	if err != nil {
		return "", err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return "", errors.New("the cluster's key is not PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return "", err
	}
	private, ok := key.(*rsa.PrivateKey)
	if !ok {
		return "", fmt.Errorf("the cluster's key is a %T", key)
	}
	return signAgain(token, private, -3*time.Hour)
}

// ForeignToken returns the token as another cluster with the same names would sign it.
func ForeignToken(token string) (string, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", err
	}
	return signAgain(token, key, 0)
}

// signAgain moves a token's times, and signs it with key.
func signAgain(token string, key *rsa.PrivateKey, by time.Duration) (string, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", errors.New("the token does not have three parts")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", err
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		return "", err
	}
	for _, name := range []string{"exp", "iat", "nbf"} {
		at, ok := claims[name].(float64)
		if !ok {
			return "", fmt.Errorf("the token has no %s", name)
		}
		claims[name] = int64(at) + int64(by/time.Second)
	}
	if payload, err = json.Marshal(claims); err != nil {
		return "", err
	}
	signed := parts[0] + "." + base64.RawURLEncoding.EncodeToString(payload)
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), err
}
