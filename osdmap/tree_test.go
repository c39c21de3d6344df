package osdmap

import (
	"testing"

	"github.com/pulpo-storage/pulpo/crush"
	"github.com/pulpo-storage/pulpo/jsonfmt"
)

// The expected outputs are a stock monitor's at epoch 131 of the golden chain.
const (
	treeText = `ID  CLASS  WEIGHT   TYPE NAME          STATUS  REWEIGHT  PRI-AFF
-1         0.05896  root default                                
-5         0.01999      rack rk1                                
-7         0.01999          host hh2                            
 2    ssd  0.01999              osd.2      up   0.70000  1.00000
-3         0.03897      host vm                                 
 0    hdd  0.01949          osd.0          up   1.00000  0.25000
 1    hdd  0.01949          osd.1          up   1.00000  0.50000
`
	treeJSON      = `{"nodes":[{"id":-1,"name":"default","type":"root","type_id":11,"children":[-3,-5]},{"id":-5,"name":"rk1","type":"rack","type_id":3,"pool_weights":{"(compat)":[0.019989013671875]},"children":[-7]},{"id":-7,"name":"hh2","type":"host","type_id":1,"pool_weights":{"(compat)":[0.019989013671875]},"children":[2]},{"id":2,"device_class":"ssd","name":"osd.2","type":"osd","type_id":0,"crush_weight":0.019989013671875,"depth":3,"pool_weights":{"(compat)":[0.019989013671875]},"exists":1,"status":"up","reweight":0.6999969482421875,"primary_affinity":1},{"id":-3,"name":"vm","type":"host","type_id":1,"pool_weights":{"(compat)":[0.02947998046875]},"children":[1,0]},{"id":0,"device_class":"hdd","name":"osd.0","type":"osd","type_id":0,"crush_weight":0.0194854736328125,"depth":2,"pool_weights":{"(compat)":[0.0099945068359375]},"exists":1,"status":"up","reweight":1,"primary_affinity":0.25},{"id":1,"device_class":"hdd","name":"osd.1","type":"osd","type_id":0,"crush_weight":0.0194854736328125,"depth":2,"pool_weights":{"(compat)":[0.0194854736328125]},"exists":1,"status":"up","reweight":1,"primary_affinity":0.5}],"stray":[]}`
	crushTreeText = `ID  CLASS  WEIGHT   (compat)  TYPE NAME        
-1         0.05896            root default     
-5         0.01999   0.01999      rack rk1     
-7         0.01999   0.01999          host hh2 
 2    ssd  0.01999   0.01999              osd.2
-3         0.03897   0.02948      host vm      
 0    hdd  0.01949   0.00999          osd.0    
 1    hdd  0.01949   0.01949          osd.1    
`
)

func TestGoldenTree(t *testing.T) {
	t.Parallel()
	m := atEpoch(t, 131)
	tree := m.Tree("", TreeFilter{})
	if got := tree.Text(); got != treeText {
		t.Errorf("\n%s\nwant\n%s", got, treeText)
	}
	var f jsonfmt.Formatter
	f.Object("", func() { tree.Dump(&f) })
	if got := f.JSON(); got != treeJSON {
		t.Errorf("\n%s\nwant\n%s", got, treeJSON)
	}
	ct := &crush.TreeView{Map: m.Crush}
	if got := ct.Text(); got != crushTreeText {
		t.Errorf("\n%s\nwant\n%s", got, crushTreeText)
	}
	if got := m.Tree("", TreeFilter{Down: true}).Text(); got != "ID  CLASS  WEIGHT  TYPE NAME  STATUS  REWEIGHT  PRI-AFF\n" {
		t.Errorf("down: %q", got)
	}
}
