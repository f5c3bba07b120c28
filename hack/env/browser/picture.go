package browser

import (
	"context"
	"os"
	"path/filepath"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// screen is a screen and the color scheme that its user prefers.
type screen struct {
	name          string
	width, height int64
	scheme        string
}

func screens() []screen {
	return []screen{{"wide-light", 1280, 900, "light"}, {"wide-dark", 1280, 900, "dark"}, {"phone-light", 360, 740, "light"}, {"phone-dark", 360, 740, "dark"}}
}

// Picture writes screenshots of the page to files in a folder: on a wide screen and on a
// phone, light and dark. The test fails if the page is wider than the screen.
func (tab *Tab) Picture(folder, name string) {
	tab.t.Helper()
	if err := os.MkdirAll(folder, 0o755); err != nil {
		tab.t.Fatal(err)
	}
	for _, s := range screens() {
		tab.emulate(s)
		if wider := Eval[int](tab, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); wider > 0 {
			tab.t.Errorf("%s is %d pixels wider than a screen of %d", name, wider, s.width)
		}
		image, err := chromedp.Run(tab.ctx, chromedp.FullScreenshot(100))
		if err != nil {
			tab.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name+"-"+s.name+".png"), image, 0o600); err != nil {
			tab.t.Fatal(err)
		}
	}
	tab.emulate(screens()[0])
}

func (tab *Tab) emulate(s screen) {
	tab.t.Helper()
	tab.do(chromedp.EmulateViewport(s.width, s.height), func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: s.scheme}},
		})
		return chromedp.Void{}, err
	})
}
