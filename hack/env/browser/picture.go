package browser

import (
	"context"
	"os"
	"path/filepath"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// look is how a page is looked at.
type look struct {
	name          string
	width, height int64
	scheme        string
}

func looks() []look {
	return []look{{"wide-light", 1280, 900, "light"}, {"wide-dark", 1280, 900, "dark"}, {"phone-light", 360, 740, "light"}, {"phone-dark", 360, 740, "dark"}}
}

// Picture the page, wide and on a phone, light and dark, into files of a folder. The test
// fails if something of it is beside the screen.
func (tab *Tab) Picture(folder, name string) {
	tab.t.Helper()
	if err := os.MkdirAll(folder, 0o755); err != nil {
		tab.t.Fatal(err)
	}
	for _, l := range looks() {
		tab.as(l)
		if wider := Eval[int](tab, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); wider > 0 {
			tab.t.Errorf("%s is %d pixels wider than a screen of %d", name, wider, l.width)
		}
		image, err := chromedp.Run(tab.ctx, chromedp.FullScreenshot(100))
		if err != nil {
			tab.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name+"-"+l.name+".png"), image, 0o600); err != nil {
			tab.t.Fatal(err)
		}
	}
	tab.as(looks()[0])
}

func (tab *Tab) as(l look) {
	tab.t.Helper()
	tab.do(chromedp.EmulateViewport(l.width, l.height), func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.scheme}},
		})
		return chromedp.Void{}, err
	})
}
