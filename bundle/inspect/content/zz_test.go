package content_test
import ("testing";"bytes";"os";"path/filepath";"fmt";"time";"fx/bundle/inspect/content";"fx/bundle/inspect/finding")
func TestZZ(t *testing.T){
 files,_:=filepath.Glob(os.Getenv("ZZ"))
 for _,f:=range files{ d,_:=os.ReadFile(f); s:=time.Now()
 r,err:=content.Scan(filepath.Base(f),int64(len(d)),bytes.NewReader(d)); if err!=nil{t.Fatal(err)}
 high:=0; out:=""
 for _,x:=range r.Findings{ if x.Severity==finding.High {high++}; out+=" "+x.Rule+fmt.Sprintf("(%s,%d)",x.Severity,x.Line)}
 m:="OK  "; if high==0{m="MISS"}
 if os.Getenv("ALL")!=""||high==0||time.Since(s)>300*time.Millisecond {fmt.Println(m,filepath.Base(f),r.Type,out,r.Reason,time.Since(s).Round(time.Millisecond))}
 }
}
