import{A as y,E as Pt,G as X,H as Mt,I as Ut,J as Ft,K as z,L as tt,O as jt,Q as qt,T as R,U as Bt,V as kt,W as St,Z as Yt,_ as Wt,a as A,b as D,ba as Kt,ca as Gt,d as H,da as Ct,e as _,ea as v,f as S,g as P,h as g,ha as Vt,i as It,j as M,ja as Qt,k as T,ka as Ht,l as Nt,m as N,o as J,q as Rt,s as Z,t as f,u as m,v as u,w as vt,x as o,y as E,z as Ot}from"./chunk-4HTY7DUM.js";function et(n,t,e){let s=Object.assign(document.createElement("a"),{href:URL.createObjectURL(new Blob([t],{type:e})),download:n});s.click(),URL.revokeObjectURL(s.href)}var k=class extends u{componentDidMount(){this.stop=this.props.client.on("ready",()=>this.props.onRetry())}componentWillUnmount(){this.stop()}render({text:t,onRetry:e}){return o`
      <div class="load-problem" role="alert" data-testid="load-problem">
        <p>${t}</p>
        <button class="button small" type="button" data-testid="try-again" onClick=${e}>Try again</button>
      </div>`}};var Jt={testid:"",place:0},b=class extends u{what="";state={isMissing:!1,open:null,busy:!1,result:{text:"",failed:!1},...this.firstState()};firstState(){return{}}async load(){}reload=()=>this.load().then(()=>this.setState({isMissing:!1}),()=>this.setState({isMissing:!0}));componentDidMount(){this.stop=this.props.client.on("ready",()=>this.state.result.failed&&this.say("")),this.reload()}componentWillUnmount(){this.stop()}getSnapshotBeforeUpdate(){var t;return((t=this.base)==null?void 0:t.contains(document.activeElement))??!1}componentDidUpdate(t,e,s){if(!s||document.activeElement!==document.body)return;let{testid:a,place:i}=this.#t,r=this.base.querySelectorAll(`[data-testid="${a}"]`)[i];(this.base.querySelector("[role=group][tabindex]")??r??this.base.querySelector("h2")).focus()}#t=Jt;show=t=>{let{testid:e}=document.activeElement.dataset;if(t&&e&&this.base.contains(document.activeElement)){let s=[...this.base.querySelectorAll(`[data-testid="${e}"]`)];this.#t={testid:e,place:s.indexOf(document.activeElement)}}this.setState({open:t,result:{text:"",failed:!1}})};say=(t,{failed:e=!1,...s}={})=>this.setState({result:{text:t,failed:e},...s});async run(t){if(!this.state.busy){this.setState({busy:!0,result:{text:"",failed:!1}});try{let e=await t();this.#t=Jt,this.say(e,{open:null})}catch(e){this.say(y(f(e)),{failed:!0})}finally{this.setState({busy:!1})}}}card({id:t,title:e,summary:s},a){let{result:{text:i,failed:r},isMissing:l}=this.state,c=l&&o`
      <${k} client=${this.props.client} text=${`${this.what} could not be loaded.`} onRetry=${this.reload} />`;return o`
      <section class="card setting" aria-labelledby=${`${t}-title`} data-testid=${`setting-${t}`}>
        <h2 id=${`${t}-title`} tabindex="-1">${e}</h2>
        <div class="setting-summary muted" data-testid=${`${t}-summary`}>${c||s}</div>
        ${a}
        <p class=${`result ${r?"is-error":""}`} role="status" data-testid=${`${t}-result`}>${i}</p>
      </section>`}question(t,e,s,a){return o`
      <div class="card-actions question" key="question" role="group" tabindex="-1" aria-label=${e}
           onKeyDown=${({key:i})=>i==="Escape"&&this.show(null)}>
        <p>${e}</p>
        ${this.button(`${t}-confirm`,s,a,{danger:!0})}
        ${this.button(`${t}-cancel`,"No",()=>this.show(null))}
      </div>`}button(t,e,s,{danger:a=!1,small:i=!1}={}){return o`
      <button class=${`button ${a?"danger":""} ${i?"small":""}`} type="button" data-testid=${t}
              aria-disabled=${this.state.busy} onClick=${s}>${e}</button>`}};var st=class extends b{export=()=>this.run(async()=>{let t=await this.props.client.account.export();return et("account.json",JSON.stringify(t,null,2),"application/json"),"Saved as account.json."});delete=()=>this.run(async()=>(await this.props.client.account.delete(),""));restore=()=>this.run(async()=>(await this.props.client.account.restore(),"Your account will not be deleted."));render({client:t,config:e,user:s},{open:a}){let i=s.deletionAt&&N(s.deletionAt),r=i?`Your account will be deleted on ${i}.`:"Download a copy of your data, or delete your account.",l=e.lifetimes.accountDeletionMs,c=l?`Until ${N(t.serverNow()+l)} you`:"You";return this.card({id:"data",title:"Your data",summary:r},a?o`
      <p>All your devices will be logged out. ${c} can log in and press “Keep my account”.</p>
      ${this.question("delete","Delete the account?","Yes, delete it",this.delete)}`:o`
      <div class="card-actions" key="actions">
        ${this.button("export","Download my data",this.export)}
        ${i?this.button("restore","Keep my account",this.restore):this.button("delete-account","Delete account",()=>this.show("delete"),{danger:!0})}
      </div>`)}};var Zt={access_denied:"An action was refused: the role is missing",account_erased:"The account was erased",account_locked:"The account was locked",account_unlocked:"The account was unlocked",admin_account_locked:"An account was locked by this administrator",admin_account_unlocked:"An account was unlocked by this administrator",admin_audit_read:"The audit log was read by this administrator",admin_factors_removed:"Login methods were removed by this administrator",admin_overview_read:"The overview was read by this administrator",admin_roles_changed:"Roles were changed by this administrator",admin_session_ended:"A session was ended by this administrator",admin_sessions_ended:"All sessions of an account were ended by this administrator",admin_user_seen:"An account was viewed by this administrator",admin_users_searched:"Accounts were searched by this administrator",alert_dismissed:"An alert was answered with \u201CIt was me\u201D",approval_allowed:"Login approval was turned on",approval_approved:"A login was approved on another device",approval_asked:"A login asked for approval",approval_changed:"Login approval was turned on or off",approval_denied:"A login was denied",approval_forbidden:"Login approval was turned off",approval_wrong_number:"A wrong approval number was chosen",data_exported:"The account\u2019s data was downloaded",deletion_asked:"Deletion of the account was requested",deletion_taken_back:"Deletion of the account was cancelled",device_renamed:"A device was renamed",email_change_asked:"A change of the e-mail address was requested",email_change_cancelled:"The change of the e-mail address was cancelled",email_changed:"The e-mail address was changed",email_verified:"The e-mail address was confirmed",factor_undone:"A login method was removed by a mailed link",factors_removed:"Login methods were removed",identity_link_failed:"A provider could not be linked",identity_linked:"A provider was linked",identity_unlinked:"A provider was unlinked",identity_voided:"A provider\u2019s link was removed: it belonged to an unconfirmed address",impossible_travel:"A login was used in two distant places within a short time",jobs_page_acted:"A job was changed on the jobs page",jobs_page_opened:"The jobs page was opened",keys_reset:"The keys were reset, and every session ended",login:"Logged in",login_denied:"A login to the account was denied",login_disowned:"\u201CThis wasn\u2019t me\u201D was chosen",login_failed:"A login failed",new_country:"A login came from a new country",new_device:"A new device logged in",passkey_added:"A passkey was added",passkey_copied:"A copy of a passkey was rejected",passkey_removed:"A passkey was removed",password_change_failed:"A change of the password failed",password_changed:"The password was changed",password_guessed:"Many wrong passwords were entered",password_rehashed:"The password was stored with a stronger hash",password_reset:"The password was reset by a mailed link",password_reset_asked:"A link to reset the password was requested",phone_added:"A phone number was added",phone_code_asked:"An SMS code was requested",phone_removed:"The phone number was removed",rapid_refresh:"A login was renewed unusually often",recovery_code_used:"A recovery code was used",recovery_codes_made:"New recovery codes were created",refresh_concurrent:"A login was renewed twice at the same time",refresh_elsewhere:"A login was also used from somewhere else",refresh_forged:"A forged token was rejected",refresh_late:"A renewal of a login came too late",refresh_replayed:"A renewal of a login was repeated",refresh_reused:"A copied login was used, and blocked",registered:"The account was created",registered_again:"Someone tried to create an account with this address again",roles_changed:"The roles were changed",second_factor_failed:"Two-step verification failed",session_revoked:"A device was logged out",sms_limited:"An SMS was not sent: the limit is reached",step_up:"Identity was confirmed for a sensitive change",step_up_failed:"Identity was not confirmed for a sensitive change",totp_disabled:"The authenticator app was turned off",totp_enabled:"The authenticator app was turned on"},O=n=>J(Zt,n)??P(n.replaceAll("_"," "));function Xt(n){let t=n.trim().toLowerCase(),e=Object.entries(Zt).find(([,s])=>s.toLowerCase()===t);return e?e[0]:t.replaceAll(" ","_")}var Se={pwd:"password",otp:"authenticator app",hwk:"passkey",sms:"SMS",mfa:"two steps",mca:"approval on another device",recovery_code:"recovery code"},Ce=new Set(["delivery","generation","bySession"]),xe={user:"by the account\u2019s owner",admin:"by an administrator",system:"by the server"};function U(n={}){return Object.entries(n).filter(([t])=>!Ce.has(t)).map(([t,e])=>t==="amr"?`by ${e.split(/[\s,]+/).map(a=>J(Se,a)??a).join(", ")}`:t==="by"&&J(xe,e)||`${Ae(t)}: ${e.replaceAll("_"," ")}`).join(" \xB7 ")}var Ae=n=>n.replaceAll("_"," ").replace(/[A-Z]/g,t=>` ${t.toLowerCase()}`);var _e=10,zt=n=>P(U(n.details)),ot=class extends b{firstState(){return{events:null,next:null}}more=()=>this.run(async()=>{let{events:t,next:e}=this.state,s=await this.props.client.account.securityLog({limit:_e,before:e});return this.setState({events:[...t??[],...s.events],next:s.next}),""});render({client:t},{events:e,next:s}){let a=t.serverNow(),i=e?"Show more":"Show the history";return this.card({id:"log",title:"Account history",summary:"Changes to your account and logins, with device and location."},o`
      <ul class="rows">
        ${(e??[]).map(l=>o`
          <li key=${l.id} class="row" data-testid="log-event" data-kind=${l.kind}>
            <div class="row-text">
              <p class="row-name">${O(l.kind)}</p>
              ${zt(l)&&o`<p class="device-line">${zt(l)}</p>`}
              <p class="device-line">
                ${[g(l.at,a),D(l),_(l),l.ip].filter(Boolean).join(" \xB7 ")}
              </p>
            </div>
          </li>`)}
      </ul>
      ${(e===null||s)&&o`<div class="card-actions">${this.button("show-log",i,this.more)}</div>`}`)}};var Te={...Gt,label:"New e-mail address",autocomplete:"email"},Le={old:"Confirmed from your current mailbox. Open the link in the mail to the new address.",new:"Confirmed from the new mailbox. Open the link in the mail to your current address."},at=class extends b{change=async({email:t})=>{let{client:e,config:s}=this.props;await e.account.changeEmail(t);let a=s.lifetimes.emailChangeLinkMs;this.say(`Two mails were sent: open the link in both${a?` within ${It(a)}`:""}.`,{open:null}),await e.me().catch(()=>{})};cancel=()=>this.run(async()=>{let{client:t}=this.props;return await t.account.cancelEmailChange(),await t.me(),"The change was cancelled. Your address stays the same."});render({client:t,user:e},{open:s}){let{pendingEmail:a}=e,i=a&&Date.parse(a.expiresAt)>t.serverNow(),r=o`<span class="breakable">${e.email}</span>`;return this.card({id:"email",title:"E-mail address",summary:r},o`
      ${i&&o`
        <p class="field-note breakable" data-testid="pending-email">
          Change to <strong>${a.email}</strong>, until ${T(a.expiresAt)}.${" "}
          ${Le[a.confirmed]??"Open the links in the mails to both addresses."}</p>`}
      ${s?o`
        <${v} testid="email-form" fields=${[Te]} focusFirst submitLabel="Send the links"
                 busyLabel="Sending…" onSubmit=${this.change} onCancel=${()=>this.show(null)} />`:o`<div class="card-actions">
          ${this.button("change-email","Change address",()=>this.show("form"))}
          ${i&&this.button("cancel-email","Cancel the change",this.cancel)}</div>`}`)}};var nt=class extends b{what="Your linked logins";firstState(){return{identities:null}}async load(){this.setState({identities:await this.props.client.account.identities()})}link=t=>this.run(async()=>(location.assign(await this.props.client.account.linkUrl(t)),"Opening the provider\u2026"));unlink=t=>this.run(async()=>(await this.props.client.account.unlink(t),await this.load(),"Unlinked."));render({client:t,config:{loginMethods:{providers:e}}},{identities:s,isMissing:a}){if(!e.length&&!(s!=null&&s.length))return null;if(!s)return a&&this.card({id:"identities",title:"Linked logins",summary:""});let i=p=>{var h;return((h=e.find(w=>w.id===p))==null?void 0:h.name)??p},r=new Set(s.map(({provider:p})=>p)),l=e.filter(({id:p})=>!r.has(p)),c=t.serverNow(),d=s.length?"You can log in to this account with these.":"None yet.";return this.card({id:"identities",title:"Linked logins",summary:d},o`
      <ul class="rows">
        ${s.map(({id:p,provider:h,label:w,lastUsedAt:$,linkedAt:B})=>o`
          <li key=${p} class="row" data-testid="identity">
            <div class="row-text">
              <p class="row-name">${i(h)}</p>
              <p class="device-line">${[w,`used ${g($??B,c)}`].filter(Boolean).join(" \xB7 ")}</p>
            </div>
            <div class="row-actions">
              ${this.button("unlink","Unlink",()=>this.unlink(p),{small:!0,danger:!0})}</div>
          </li>`)}
      </ul>
      ${l.length>0&&o`
        <div class="card-actions">
          ${l.map(({id:p,name:h})=>this.button(`link-${p}`,`Link ${h}`,()=>this.link(p)))}
        </div>`}`)}};var it=class extends u{state={lacksTwoStep:!1,isBusy:!1,result:{text:"",failed:!1}};componentDidMount(){let t=({methods:e})=>this.setState({lacksTwoStep:e.length===0});this.props.client.account.factors().then(t,()=>{})}endOthers=async()=>{if(!this.state.isBusy){this.setState({isBusy:!0,result:{text:"",failed:!1}});try{let{revoked:t}=await this.props.client.revokeOthers(),e=t?`${S(t,"other device")} logged out.`:"No other device is logged in.";this.setState({result:{text:e,failed:!1}})}catch(t){this.setState({result:{text:y(f(t)),failed:!0}})}finally{this.setState({isBusy:!1})}}};render({onPassword:t,onTwoStep:e},{lacksTwoStep:s,isBusy:a,result:i}){return o`
      <div class="card-actions" role="group" aria-label="Next steps" data-testid="next-steps">
        <button class="button primary" type="button" data-testid="next-password" onClick=${t}>
          Change password</button>
        <button class="button danger" type="button" data-testid="next-log-out" aria-disabled=${a}
                onClick=${this.endOthers}>Log out all other devices</button>
        ${s&&o`
          <button class="button" type="button" data-testid="next-two-step" onClick=${e}>
            Turn on two-step verification</button>`}
      </div>
      <p class=${`result ${i.failed?"is-error":""}`} role="status" data-testid="next-result">${i.text}</p>`}};var te="recovery-codes.txt";function W(n,t){let e=document.body.appendChild(document.createElement("div")),s=()=>{a(),vt(null,e),e.remove()},a=n.on("state",({state:i})=>{(i==="ended"||i==="logged-out")&&s()});vt(o`<${xt} client=${n} codes=${t} onClose=${s} />`,e)}var xt=class extends u{state={result:"",isKept:!1,isAsking:!1};componentDidMount(){addEventListener("beforeunload",this.warn)}componentWillUnmount(){removeEventListener("beforeunload",this.warn)}warn=t=>{this.state.isKept||(t.preventDefault(),t.returnValue="")};download=()=>{var a;let{client:t,codes:e}=this.props,s=`Recovery codes of ${((a=t.user)==null?void 0:a.email)??"your account"} at ${location.host}, ${N(t.serverNow())}.`;et(te,`${s}
Each code works once.

${e.join(`
`)}
`,"text/plain"),this.setState({isKept:!0,result:`Saved as ${te}.`})};copy=async()=>{try{await navigator.clipboard.writeText(this.props.codes.join(`
`)),this.setState({isKept:!0,result:"Copied."})}catch{this.setState({result:"Could not copy. Select the codes, or download them."})}};leave=()=>{this.state.isKept||this.state.isAsking?this.props.onClose():this.setState({isAsking:!0})};render({codes:t,onClose:e},{result:s,isAsking:a}){return o`
      <${E} title="Save your recovery codes" testid="recovery-codes" onClose=${this.leave}>
        <p>They let you log in without your other devices. They are shown only once, and each works once.</p>
        <ul class="codes tabular">${t.map(i=>o`<li key=${i}><code>${i}</code></li>`)}</ul>
        <p class="result" role="status" data-testid="codes-result">${s}</p>
        ${a?o`
          <div class="card-actions" role="group" aria-labelledby="codes-question" key="question">
            <p id="codes-question" class="question-text">Close without saving? You cannot see these codes again.</p>
            <button class="button" type="button" data-testid="codes-stay" ref=${De}
                    onClick=${()=>this.setState({isAsking:!1})}>Keep them open</button>
            <button class="button danger solid" type="button" data-testid="codes-discard" onClick=${e}>Close</button>
          </div>`:o`
          <div class="card-actions" key="actions">
            <button class="button" type="button" data-testid="download-codes" onClick=${this.download}>Download</button>
            <button class="button" type="button" data-testid="copy-codes" onClick=${this.copy}>Copy</button>
            <button class="button primary" type="button" data-testid="codes-kept" onClick=${e}>I have saved them</button>
          </div>`}
      <//>`}},De=n=>n==null?void 0:n.focus();var Ee=()=>{var n;return((n=/Windows|Android|iPhone|iPad|Mac|Linux/.exec(navigator.userAgent))==null?void 0:n[0])??"This device"},ee={name:"name",label:"Name",type:"text",autocomplete:"off",hint:"Helps you tell your passkeys apart."},rt=class extends b{what="Your passkeys";firstState(){return{passkeys:null,wantsCodes:!1}}async load(){this.setState({passkeys:await this.props.client.account.passkeys()})}add=async({name:t})=>{let{client:{account:e},onPasskeys:s}=this.props,a=await Kt(await e.newPasskeyOptions());await e.addPasskey({credential:a,name:t.trim()}),this.say("Passkey added. A login with your password now asks for it too.",{open:null}),await this.load();let{recoveryCodes:i}=await e.factors();this.setState({wantsCodes:!i}),s()};getCodes=()=>this.run(async()=>{let{client:t}=this.props;return W(t,await t.account.renewRecoveryCodes()),this.setState({wantsCodes:!1}),this.props.onPasskeys(),""});rename=async(t,{name:e})=>{await this.props.client.account.renamePasskey(t,e.trim()),await this.load(),this.say("Renamed.",{open:null})};remove=t=>this.run(async()=>(await this.props.client.account.removePasskey(t),await this.load(),this.props.onPasskeys(),"Passkey removed."));render(t,{passkeys:e,wantsCodes:s,open:a}){let l=e===null?"Loading\u2026":e.length?"Use them to log in and to confirm it\u2019s you.":"None yet. A passkey logs you in with your fingerprint, face or PIN, and cannot be phished. Once you have one, a login with your password asks for it too.";return this.card({id:"passkeys",title:"Passkeys",summary:l},o`
      <ul class="rows">
        ${(e??[]).map(c=>o`
          <li key=${c.id} class="row" data-testid="passkey">
            ${a===c.id?o`
              <${v} testid="rename-form" fields=${[ee]} values=${c} focusFirst submitLabel="Rename"
                       busyLabel="Renaming…" onSubmit=${d=>this.rename(c.id,d)}
                       onCancel=${()=>this.show(null)} />`:a===`remove ${c.id}`?this.question("remove-passkey",`Remove ${c.name}?`,"Yes, remove it",()=>this.remove(c.id)):this.row(c)}
          </li>`)}
      </ul>
      ${s&&o`
        <div class="notice is-warning">
          <p>Get recovery codes too: you need them where this passkey does not work, or when you lose it.</p>
          <div class="card-actions">${this.button("get-codes","Get recovery codes",this.getCodes,{small:!0})}</div>
        </div>`}
      ${Yt()?a==="add"?o`
        <${v} key="add" testid="passkey-form" fields=${[ee]} values=${{name:Ee()}} focusFirst
                 submitLabel="Add a passkey" busyLabel="Waiting for the passkey…" onSubmit=${this.add}
                 onCancel=${()=>this.show(null)} />`:o`<div class="card-actions">${this.button("add-passkey","Add a passkey",()=>this.show("add"))}</div>`:o`<${Wt} />`}`)}row({id:t,name:e,createdAt:s,lastUsedAt:a}){let i=this.props.client.serverNow(),r=a?`used ${g(a,i)}`:"not used yet";return o`
      <div class="row-text">
        <p class="row-name" data-testid="passkey-name">${e}</p>
        <p class="device-line">Added ${g(s,i)} · ${r}</p>
      </div>
      <div class="row-actions">
        ${this.button("rename-passkey","Rename",()=>this.show(t),{small:!0})}
        ${this.button("remove-passkey","Remove",()=>this.show(`remove ${t}`),{small:!0,danger:!0})}
      </div>`}};var Ie={name:"currentPassword",label:"Current password",type:"password",autocomplete:"current-password"};function Ne(n){let{code:t}=f(n);if(t!=="invalid_credentials")throw n;let e=[{field:"currentPassword",message:"This is not your current password."}];throw new Z({code:t,errors:e})}var K=class extends b{change=async({currentPassword:t,password:e})=>{let{revoked:s}=await this.props.client.account.changePassword({currentPassword:t,password:e}).catch(Ne),a=s?`${S(s,"other device")} logged out.`:"No other device was logged in.";this.say(`Password changed. ${a}`,{open:null})};setFirst=async({password:t})=>{try{await this.props.client.account.changePassword({password:t})}catch(e){if(!f(e).errors.some(({field:s})=>s==="currentPassword"))throw e;return this.say("Your account already has a password: enter it.",{failed:!0,open:"form"})}this.say("Password set. You can log in with it from now on.",{open:null})};render({config:t},{open:e}){let s="Changing it logs out your other devices.",a=()=>this.show(null);return this.card({id:"password",title:"Password",summary:s},e==="first"?o`
      <${v} key="first" testid="first-password-form" fields=${[Ct(t)]} focusFirst
               submitLabel="Set the password" busyLabel="Setting…" onSubmit=${this.setFirst} onCancel=${a} />`:e?o`
      <${v} key="change" testid="password-form" fields=${[Ie,Ct(t)]} focusFirst
               submitLabel="Change the password" busyLabel="Changing…" onSubmit=${this.change} onCancel=${a} />
      <p class="field-note">You log in with a provider or a passkey, and have no password yet?${" "}
        <button class="link" type="button" data-testid="first-password" onClick=${()=>this.show("first")}>
          Set one</button></p>`:o`<div class="card-actions">
          ${this.button("change-password","Change password",()=>this.show("form"))}</div>`)}};var lt=class extends b{send=t=>this.props.client.account.sendPhoneCode(t);verify=async t=>{await this.props.client.account.confirmPhone(t),this.say("You can now log in with this number.",{open:null})};remove=()=>this.run(async()=>(await this.props.client.account.removePhone(),"The number was removed from your account."));render({client:t,config:e,user:{phoneNumber:s}},{open:a}){if(s===void 0)return null;let i=s?o`<strong>${s}</strong>`:"None. Add one to log in with a code sent by SMS.";return this.card({id:"phone",title:"Phone",summary:i},a==="phone"?o`
      <${Vt} submitLabel="Use this number" isOwn client=${t} config=${e} send=${this.send} verify=${this.verify}
                     onCancel=${()=>this.show(null)} />`:a==="remove"?this.question("remove-phone",`Remove ${s}?`,"Yes, remove it",this.remove):o`
      <div class="card-actions">
        ${this.button("change-phone",s?"Change the number":"Add a number",()=>this.show("phone"))}
        ${s&&this.button("remove-phone","Remove",()=>this.show("remove"),{danger:!0})}
      </div>`)}};var Re=({maxLengths:n})=>[{name:"name",label:"Your name",type:"text",autocomplete:"name",maxLength:n.name,hint:"Shown to others in the chat room."},{name:"username",label:"Username",type:"text",autocomplete:"off",plain:!0,optional:!0}],ct=class extends b{save=async({name:t,username:e})=>{let{client:s}=this.props,a=e.trim();await s.account.edit({name:t.trim(),...a&&{username:a}}),this.say("Saved.",{open:null})};render({config:t,user:e},{open:s}){let a=[e.name??"No name yet",e.username&&`@${e.username}`].filter(Boolean).join(" \xB7 ");return this.card({id:"profile",title:"Profile",summary:a},s?o`
      <${v} testid="profile-form" fields=${Re(t)} values=${e} focusFirst submitLabel="Save"
               busyLabel="Saving…" onSubmit=${this.save} onCancel=${()=>this.show(null)} />`:o`<div class="card-actions">${this.button("edit-profile","Edit",()=>this.show("form"))}</div>`)}};var G=class extends b{what="Two-step verification";firstState(){return{factors:null,approvals:null,setup:null}}componentDidUpdate(t,e,s){super.componentDidUpdate(t,e,s),t.passkeyChanges!==this.props.passkeyChanges&&this.load().catch(()=>{})}async load(){let{account:t}=this.props.client,[e,s]=await Promise.all([t.factors(),t.approvals()]);this.setState({factors:e,approvals:s})}setUp=()=>this.run(async()=>(this.setState({setup:await this.props.client.account.setUpTotp()}),""));enable=async({code:t})=>{let{client:e}=this.props;W(e,await e.account.enableTotp(t)),this.say("Two-step verification is on. Your other devices were logged out.",{setup:null}),await this.load()};disable=()=>this.run(async()=>(await this.props.client.account.disableTotp(),await this.load(),"The authenticator app was removed."));renewCodes=()=>this.run(async()=>{let{client:t}=this.props,e=this.state.factors.recoveryCodes!==null;return W(t,await t.account.renewRecoveryCodes()),await this.load(),e?"The old codes no longer work.":""});allowApprovals=t=>this.run(async()=>(await this.props.client.account.allowApprovals(t),await this.load(),t?"Your devices can now approve new logins.":"Your devices can no longer approve new logins."));render(t,{factors:e,setup:s,open:a,approvals:i}){return this.card({id:"two-step",title:"Two-step verification",summary:Me(e)},o`
      ${s?this.setupForm(s):e&&a===null&&this.actions(e,i)}
      ${a==="disable"&&this.question("disable","Turn the authenticator app off?","Yes, turn it off",this.disable)}
      ${a==="codes"&&this.question("new-codes","Make new codes? The old ones will stop working.","Yes, make new ones",this.renewCodes)}`)}actions({totp:t,recoveryCodes:e,methods:s},a){let i=s.length>0;return o`
      <div class="card-actions" key="actions">
        ${t?this.button("disable-totp","Turn the app off",()=>this.show("disable"),{danger:!0}):this.button("setup-totp","Set up an authenticator app",this.setUp)}
        ${i&&this.button("new-codes",e?"New recovery codes":"Get recovery codes",e?()=>this.show("codes"):this.renewCodes)}
        ${i&&this.button("toggle-approvals",a?"Turn off login approval":"Turn on login approval",()=>this.allowApprovals(!a))}
      </div>`}copyKey=async()=>{var e;let t=((e=navigator.clipboard)==null?void 0:e.writeText(this.state.setup.secret))??Promise.reject();this.say(await t.then(()=>"Copied.",()=>"Could not copy. Select the key."))};setupForm({qrSvg:t,secret:e,uri:s}){let a=Oe();return o`
      ${a&&o`
        <a class="button primary" href=${s} data-testid="totp-open">Open in your authenticator app</a>`}
      <div class="totp" key="setup">
        <img class="totp-qr" width="200" height="200" alt="QR code for the authenticator app" data-testid="totp-qr"
             src=${Pe(t)} />
        <div>
          <p>${a?"Or scan the code with another device, or enter this key:":"Scan this with your authenticator app, or enter this key:"}</p>
          <p><code class="totp-key" data-testid="totp-secret">${e.match(/.{1,4}/g).join(" ")}</code></p>
          <button class="button small" type="button" data-testid="copy-key" onClick=${this.copyKey}>Copy the key</button>
        </div>
      </div>
      <${v} testid="totp-enable-form" fields=${[Qt(this.props.config)]} submitLabel="Turn on" busyLabel="Checking…"
               focusFirst=${!a}
               onSubmit=${this.enable} onCancel=${()=>this.setState({setup:null})} />`}},Oe=()=>matchMedia("(pointer: coarse)").matches;function Pe(n){let t=n.includes("xmlns=")?n:n.replace("<svg",'<svg xmlns="http://www.w3.org/2000/svg"');return`data:image/svg+xml,${encodeURIComponent(t)}`}function Me(n){if(!n)return"Loading\u2026";if(n.methods.length===0)return"Off. A stolen password is enough to log in.";let t=n.totp&&"Authenticator app",e=n.passkeys>0&&S(n.passkeys,"passkey"),s=n.recoveryCodes?`${S(n.recoveryCodes.left,"recovery code")} left`:"no recovery codes";return["On",t,e,s].filter(Boolean).join(" \xB7 ")}var Ue=[ct,K,at,G,rt,nt,lt,ot,st],dt=class extends u{state={passkeyChanges:0,isMissing:!1};#t=m();#e=m();#s=m();#o=()=>this.setState(({passkeyChanges:t})=>({passkeyChanges:t+1}));componentDidMount(){this.#t.current.focus(),this.load()}load=()=>this.props.client.me().then(()=>this.setState({isMissing:!1}),()=>this.setState({isMissing:!0}));render({user:t,notice:e,onClose:s,...a},{passkeyChanges:i,isMissing:r}){let l=new Map([[K,this.#e],[G,this.#s]]);return o`
      <section class="account" aria-labelledby="account-title" data-testid="account-view">
        <header class="account-head">
          <h1 id="account-title" tabindex="-1" ref=${this.#t}>Account</h1>
          <button class="button small" type="button" data-testid="account-close" onClick=${s}>Back</button>
        </header>
        <div role="status">
          ${e&&o`<p class=${`notice is-${e.tone}`} data-testid="account-notice">${e.text}</p>`}
        </div>
        ${!t&&r&&o`
          <${k} client=${a.client} text="Your account could not be loaded." onRetry=${this.load} />`}
        ${(e==null?void 0:e.isAlarm)&&o`
          <${it} client=${a.client} onPassword=${()=>this.#e.current.show("form")}
                        onTwoStep=${()=>this.#s.current.base.querySelector("h2").focus()} />`}
        <div class="settings">
          ${t&&Ue.map(c=>o`<${c} key=${c.name} user=${t} ...${a} ref=${l.get(c)}
                                            passkeyChanges=${i} onPasskeys=${this.#o} />`)}
        </div>
      </section>`}};var I=({name:n,email:t})=>n||t,L=({name:n,email:t})=>n?`${n} (${t})`:t;function At(n){return n.length===0?"No device is logged in now.":o`This logs out ${S(n.length,"device")}: <b>${H(n)}</b>.`}var se=({user:n,sessions:t})=>({title:`Lock ${I(n)}?`,text:o`<b>${L(n)}</b> cannot log in until you unlock the account. ${At(t)}`,label:"Lock, and log out all devices",withReason:!0}),oe=({user:n,sessions:t})=>({title:`Remove two-step verification of ${I(n)}?`,text:o`For a user who has lost them: verify who is asking first. <b>${L(n)}</b> is notified by mail.
    ${" "}${At(t)}`,label:"Remove, and log out all devices"}),ae=({user:n,sessions:t})=>({title:`Log out ${I(n)} everywhere?`,text:o`${At(t)} The account is <b>${L(n)}</b>.`,label:`Log out ${S(t.length,"device")}`}),ne=({user:n},t)=>({title:`Log out ${A(t)}?`,text:o`This logs out <b>${A(t)}</b> of <b>${L(n)}</b>.`,label:"Log out"});var Fe=30,ie="An erased account",je=n=>new Date(n).toLocaleString([],{dateStyle:"medium",timeStyle:"short"});function re(n,t=0){let[e,s,a]=n.split("-").map(Number);return new Date(e,s-1,a+t).toISOString()}var F=class extends u{state={events:null,next:null,problem:"",kinds:[]};#t=m();#e=0;componentDidMount(){this.read(null)}componentWillUnmount(){this.#e++}filter=t=>{t.preventDefault(),this.read(null)};async read(t){let e=++this.#e;try{let s=new URLSearchParams({limit:String(Fe),...t&&{before:t},...await this.#s()}),{events:a,next:i,people:r}=await this.props.client.call("GET",`/admin/audit?${s}`);if(e!==this.#e)return;for(let l of r)this.props.known.set(l.userId,L(l));this.setState(({events:l,kinds:c})=>({events:[...t?l:[],...a],next:i,problem:"",kinds:[...new Set([...c,...a.map(({kind:d})=>d)])].sort()}))}catch(s){e===this.#e&&this.setState({problem:y(f(s))})}}async#s(){let{userId:t}=this.props;if(t)return{userId:t};let{kind:e,person:s,from:a,to:i}=Object.fromEntries(new FormData(this.#t.current));return{...e.trim()&&{kind:Xt(e)},...s.trim()&&{userId:await this.#o(s.trim())},...a&&{since:re(a)},...i&&{until:re(i,1)}}}async#o(t){let e=new URLSearchParams({query:t,limit:"2"}),{users:s}=await this.props.client.call("GET",`/admin/users?${e}`),a=s.find(({email:i})=>i.toLowerCase()===t.toLowerCase())??s[0];if(!a||s.length>1&&a.email.toLowerCase()!==t.toLowerCase()){let i=a?"Several accounts match.":"No account matches.";throw new Z({code:"not_found",message:i})}return a.userId}render({client:t,userId:e,known:s,onPick:a},{events:i,next:r,problem:l,kinds:c}){return o`
      <div class="audit-log" data-testid="trail">
        ${!e&&o`<${Be} form=${this.#t} kinds=${c} onFilter=${this.filter} />`}
        ${i===null&&!l&&o`<p class="empty" role="status">Loading…</p>`}
        ${(i==null?void 0:i.length)===0&&o`<p class="empty" role="status">No matches.</p>`}
        ${l&&o`<${k} client=${t} text=${l} onRetry=${()=>this.read(null)} />`}
        <ol class="rows" aria-label="Events, newest first">
          ${i==null?void 0:i.map(d=>o`
            <${Ye} key=${d.id} event=${d} withUser=${!e} known=${s} onPick=${a} />`)}
        </ol>
        ${r&&o`
          <button class="button wide" type="button" data-testid="trail-more" onClick=${()=>this.read(r)}>
            Show earlier</button>`}
      </div>`}},qe=[{name:"kind",label:"Event",type:"text",list:"trail-kinds"},{name:"person",label:"E-mail address",type:"text"},{name:"from",label:"From",type:"date"},{name:"to",label:"To",type:"date"}];function Be({form:n,kinds:t,onFilter:e}){return o`
    <form class="audit-log-filters" role="search" ref=${n} data-testid="trail-filters" onSubmit=${e}>
      ${qe.map(({label:s,...a})=>o`
        <label key=${a.name}>${s}
          <input ...${a} autocomplete="off" autocapitalize="none" spellcheck=${!1}
                 data-testid=${`trail-${a.name}`} /></label>`)}
      <datalist id="trail-kinds">${t.map(s=>o`<option key=${s} value=${O(s)} />`)}</datalist>
      <button class="button" type="submit" data-testid="trail-show">Show</button>
    </form>`}function Ye({event:n,withUser:t,known:e,onPick:s}){let{userId:a,details:{user:i,session:r,...l}}=n,c=[U(l),i&&`account: ${e.get(i)??ie}`].filter(Boolean).join(" \xB7 ");return o`
    <li class="row" data-testid="trail-event" data-kind=${n.kind}>
      <div class="row-text">
        <p class="row-name">${O(n.kind)}</p>
        <p class="device-line"><time class="tabular" dateTime=${n.at}>${je(n.at)}</time>
          ${n.ip&&` \xB7 ${n.ip}`}</p>
        ${c&&o`<p class="device-line">${P(c)}</p>`}
        ${t&&a&&o`
          <p class="device-line"><button class="link breakable" type="button" data-testid="trail-account"
             onClick=${()=>s(a)}>${e.get(a)??ie}</button></p>`}
      </div>
    </li>`}var j=class extends u{#t=m();componentDidMount(){this.#t.current.focus()}render({title:t,confirmLabel:e,onConfirm:s,onCancel:a,busy:i,children:r}){return o`
      <${E} title=${t} testid="confirm" onClose=${a}>
        ${r}
        <div class="dialog-actions">
          <button class="button" type="button" data-testid="confirm-no" ref=${this.#t} onClick=${a}>
            Cancel</button>
          <button class="button danger solid" type="button" data-testid="confirm-yes" aria-disabled=${i}
                  onClick=${()=>!i&&s()}>${e}</button>
        </div>
      <//>`}};var ut=class extends u{state={whole:null,isMissing:"",result:{text:"",failed:!1},busy:!1,asking:null,trail:!1};#t=m();#e=m();componentDidMount(){this.load()}#s(t=""){return`/admin/users/${encodeURIComponent(this.props.userId)}${t}`}load=async()=>{let{client:t,known:e,userId:s,onTitle:a}=this.props;try{let i=await t.call("GET",this.#s());e.set(s,L(i.user)),this.setState({whole:i,isMissing:""},()=>{var r;(r=this.#t.current)==null||r.focus(),a()})}catch(i){this.setState({isMissing:y(f(i))})}};getSnapshotBeforeUpdate(){return document.activeElement!==document.body}componentDidUpdate(t,e,s){var a;s&&document.activeElement===document.body&&((a=this.#t.current)==null||a.focus())}async run(t){if(!this.state.busy){this.setState({busy:!0,asking:null,result:{text:"",failed:!1}});try{let{text:e,...s}=await t();this.setState(({whole:a})=>({whole:{...a,...s},result:{text:e,failed:!1}}))}catch(e){this.setState({result:{text:y(f(e)),failed:!0}})}finally{this.setState({busy:!1})}}}ask(t,e){this.state.busy||this.setState({asking:{...t,act:e}})}setRole=(t,e)=>this.run(async()=>{let s=this.state.whole.user.roles.filter(r=>r!==t),a=e?[...s,t]:s,{user:i}=await this.props.client.call("PUT",this.#s("/roles"),{roles:a});return{user:i,text:`${I(i)} is ${e?"now":"no longer"} ${t}.`}});lock=async()=>{let t=this.#e.current.value.trim();await this.run(async()=>{let e=t?{reason:t}:{},{user:s,delivery:a,revoked:i}=await this.props.client.call("POST",this.#s("/lock"),e),r=i?R(a,i):"No device was logged in.";return{user:s,sessions:[],text:`Locked. ${r}`}})};unlock=()=>this.run(async()=>{let{user:t}=await this.props.client.call("POST",this.#s("/unlock"),{});return{user:t,text:"Unlocked. The user can log in again."}});removeFactors=()=>this.run(async()=>{let{removed:t,kept:e,revoked:s,delivery:a}=await this.props.client.call("DELETE",this.#s("/factors")),i=t.map(le).join(", "),r=t.length?`Removed: ${i}. ${s?R(a,s):""}`:"Nothing was removed.",l="A passkey was kept because it is the only login method: the user must first set a password with \u201CForgot your password?\u201D.",c=this.state.whole.factors.filter(d=>e.includes(d));return{factors:t.length?c:this.state.whole.factors,sessions:t.length?[]:this.state.whole.sessions,text:e.length?`${r} ${l}`:r}});endAll=()=>this.run(async()=>{let{revoked:t,delivery:e}=await this.props.client.call("DELETE",this.#s("/sessions"));return{sessions:[],text:R(e,t)}});endOne=t=>this.run(async()=>{let e=this.#s(`/sessions/${encodeURIComponent(t)}`),{delivery:s}=await this.props.client.call("DELETE",e);return{sessions:this.state.whole.sessions.filter(i=>i.sessionId!==t),text:R(s,1)}});render({client:t,onBack:e},{whole:s,isMissing:a,result:i,asking:r}){return o`
      <div class="admin-user" data-testid="admin-person">
        <button class="link" type="button" data-testid="admin-back" onClick=${e}>Back to all users</button>
        ${a&&o`<${k} client=${t} text=${a} onRetry=${this.load} />`}
        ${s&&o`
          <h2 tabindex="-1" ref=${this.#t} class="breakable" data-title>${I(s.user)}</h2>`}
        <p class=${`result ${i.failed?"is-error":""}`} role="status" data-testid="admin-result">${i.text}</p>
        ${s&&this.parts(this.props,this.state)}
        ${r&&this.question(r)}
      </div>`}parts({client:t,userId:e,ownUserId:s,isAdmin:a,roles:i,known:r},{whole:l,busy:c,trail:d}){return o`
      <${Ke} ...${l} now=${t.serverNow()} />
      ${a&&i.length>0&&o`
        <${Ge} user=${l.user} roles=${i} busy=${c} onSet=${this.setRole} />`}
      ${a&&l.user.userId!==s&&this.lockButton(l,c)}
      ${a&&l.factors.length>0&&o`
        <button class="button danger" type="button" data-testid="admin-remove-factors" aria-disabled=${c}
                onClick=${()=>this.ask(oe(l),this.removeFactors)}>Remove two-step verification…</button>`}
      <${Ve} sessions=${l.sessions} ownSessionId=${t.sessionId} now=${t.serverNow()}
                   busy=${c} onEndAll=${()=>this.ask(ae(l),this.endAll)}
                   onEnd=${p=>this.ask(ne(l,p),()=>this.endOne(p.sessionId))} />
      ${a&&(d?o`<h3>Audit log</h3><${F} client=${t} userId=${e} known=${r} />`:o`<button class="button" type="button" data-testid="admin-trail"
                       onClick=${()=>this.setState({trail:!0})}>Audit log of this account</button>`)}`}question({title:t,text:e,label:s,act:a,withReason:i}){return o`
      <${j} title=${t} confirmLabel=${s} onConfirm=${a}
                        onCancel=${()=>this.setState({asking:null})}>
        <p class="breakable">${e}</p>
        ${i&&o`
          <div class="field">
            <label for="lock-reason">Reason <span class="muted">optional</span></label>
            <input id="lock-reason" maxlength="200" autocomplete="off" ref=${this.#e}
                   aria-describedby="lock-reason-note" />
            <p class="field-note" id="lock-reason-note">For the audit log. The user does not see it.</p>
          </div>`}
      <//>`}lockButton(t,e){return t.user.lockedAt?o`<button class="button" type="button" data-testid="admin-unlock" aria-disabled=${e}
                          onClick=${this.unlock}>Unlock this account</button>`:o`<button class="button danger" type="button" data-testid="admin-lock" aria-disabled=${e}
                        onClick=${()=>this.ask(se(t),this.lock)}>Lock this account…</button>`}},We={totp:"authenticator app",passkey:"passkey",recovery_code:"recovery codes"},le=n=>We[n]??n.replaceAll("_"," ");function Ke({user:n,factors:t,now:e}){let s=t.map(le);return o`
    <dl class="facts">
      <dt>E-mail</dt><dd>${n.email}${n.emailVerified?"":" (not confirmed)"}</dd>
      ${n.username&&o`<dt>Username</dt><dd>${n.username}</dd>`}
      <dt>Two-step verification</dt><dd>${s.join(", ")||"Not set up"}</dd>
      <dt>Created</dt><dd>${g(n.createdAt,e)}</dd>
      ${n.lockedAt&&o`<dt>Locked</dt><dd>${g(n.lockedAt,e)}</dd>`}
      ${n.deletionAt&&o`<dt>Deletion</dt><dd>Requested; the data will be deleted on ${n.deletionAt.slice(0,10)}</dd>`}
    </dl>`}function Ge({user:n,roles:t,busy:e,onSet:s}){let a=(i,r)=>{i.preventDefault(),s(r,!n.roles.includes(r))};return o`
    <fieldset class="roles">
      <legend>Roles</legend>
      ${t.map(i=>o`
        <label key=${i} class="check">
          <input type="checkbox" data-testid=${`role-${i}`} checked=${n.roles.includes(i)}
                 aria-disabled=${e} onClick=${r=>a(r,i)} />
          ${i}
        </label>`)}
    </fieldset>`}function Ve({sessions:n,ownSessionId:t,now:e,busy:s,onEnd:a,onEndAll:i}){return o`
    <h3>Sessions <span class="count tabular" data-testid="admin-session-count">${n.length}</span></h3>
    <ul class="rows">
      ${n.map(r=>o`
        <li key=${r.sessionId} class="row" data-testid="admin-session">
          <div class="row-text">
            <p class="row-name">${A(r)}${" "}
              ${r.sessionId===t&&o`<span class="badge">This session</span>`}</p>
            <p class="device-line">
              ${r.online?o`<span class="online">Online now</span>`:g(r.lastSeenAt,e)}
              ${" \xB7 "}${[_(r),r.ip].filter(Boolean).join(" \xB7 ")}</p>
          </div>
          <button class="button small" type="button" data-testid="admin-end" aria-disabled=${s}
                  aria-label=${`Log out ${A(r)}`} onClick=${()=>a(r)}>Log out…</button>
        </li>`)}
    </ul>
    ${n.length>1&&o`
      <button class="button danger" type="button" data-testid="admin-end-all" aria-disabled=${s}
              onClick=${i}>Log out everywhere…</button>`}`}var Tt=n=>!!(n!=null&&n.roles.some(t=>t==="admin"||t==="moderator")),q=n=>n.roles.includes("admin"),Qe=250,He=20,V="audit",pt=class extends u{state={overview:null};#t=new Map;#e={};#s="";#o=m();componentDidMount(){this.#o.current.focus({preventScroll:!0}),this.readOverview()}componentDidUpdate({user:t}){q(t)!==q(this.props.user)&&this.readOverview()}async readOverview(){let{client:t,user:e}=this.props,s=q(e)?await t.call("GET","/admin/overview").catch(()=>null):null;this.setState({overview:s})}pick=t=>{this.#s=t,this.props.onPart(t)};remember=t=>{this.#e=t};render({client:t,user:e,part:s,onPart:a,onTitle:i,onClose:r},{overview:l}){let c=s===V&&q(e),d=(l==null?void 0:l.roles)??[];return o`
      <section class="card admin-view" aria-labelledby="admin-title" data-testid="admin-view">
        <header class="view-head">
          <h1 id="admin-title" tabindex="-1" ref=${this.#o}>Administration</h1>
          <button class="button small" type="button" data-testid="admin-close" onClick=${r}>Close</button>
        </header>
        ${l&&o`<${Je} ...${l} />`}
        ${q(e)&&o`
          <div class="switch" role="group" aria-label="View">
            ${[["people","People",""],["audit","Audit log",V]].map(([p,h,w])=>o`
              <button key=${p} class="button small" type="button" data-testid=${`admin-${p}`}
                      aria-pressed=${c===(w===V)} onClick=${()=>a(w)}>${h}</button>`)}
          </div>`}
        ${c?o`<${F} key=${V} client=${t} known=${this.#t} onPick=${this.pick} />`:s&&s!==V?o`
            <${ut} key=${s} client=${t} userId=${s} ownUserId=${e.userId} known=${this.#t}
                          isAdmin=${q(e)} roles=${d} onTitle=${i} onBack=${()=>a("")} />`:o`
            <${_t} key="people" client=${t} roles=${d} known=${this.#t} search=${this.#e}
                       picked=${this.#s} onSearch=${this.remember} onPick=${this.pick} onTitle=${i} />`}
      </section>`}};function Je({nodes:n,sockets:t,queue:e,jobsDashboardUrl:s}){let a=[S(n,"node"),S(t,"live connection"),`${e.queued} jobs waiting`];return o`
    <p class="muted admin-glance" data-testid="admin-overview">${a.join(" \xB7 ")}
      ${s&&o` · <a href=${s} rel="noreferrer" target="_blank">Job queue</a>`}</p>`}var _t=class extends u{state={users:null,next:null,problem:""};#t=m();#e=0;async componentDidMount(){var t;this.props.onTitle(),await this.find(),document.activeElement.matches("body, h1")&&((t=document.querySelector("[data-picked] button"))==null||t.focus())}componentWillUnmount(){clearTimeout(this.timer),this.#e++}type=()=>{clearTimeout(this.timer),this.timer=setTimeout(this.find,Qe)};submit=t=>{t.preventDefault(),this.find()};find=()=>this.#s(null);async#s(t){clearTimeout(this.timer);let e=++this.#e,s=[...new FormData(this.#t.current)].map(([r,l])=>[r,String(l).trim()]),a=Object.fromEntries(s.filter(([,r])=>r));this.props.onSearch(a);let i=new URLSearchParams({limit:String(He),...t&&{before:t},...a});try{let{users:r,next:l}=await this.props.client.call("GET",`/admin/users?${i}`);if(e!==this.#e)return;for(let d of r)this.props.known.set(d.userId,L(d));let c=t?this.state.users??[]:[];this.setState({users:[...c,...r],next:l,problem:""})}catch(r){e===this.#e&&this.setState({problem:y(f(r))})}}render({client:t,roles:e,search:s,picked:a,onPick:i},{users:r,next:l,problem:c}){return o`
      <form class="admin-search" role="search" ref=${this.#t} onSubmit=${this.submit}>
        <div class="field">
          <label for="admin-query">Find people</label>
          <input id="admin-query" name="query" type="search" autocomplete="off" spellcheck=${!1}
                 placeholder="Name or e-mail address" data-testid="admin-query" defaultValue=${s.query??""}
                 onInput=${this.type} />
        </div>
        <div class="admin-filters">
          ${e.length>0&&o`
            <${ce} name="role" label="Role" initial=${s.role} onChange=${this.find}
                       options=${[["","Any role"],...e.map(d=>[d,d])]} />`}
          <${ce} name="locked" label="State" initial=${s.locked} onChange=${this.find}
                     options=${[["","Any state"],["true","Locked"],["false","Not locked"]]} />
        </div>
      </form>
      ${c&&o`<${k} client=${t} text=${c} onRetry=${this.find} />`}
      ${(r==null?void 0:r.length)===0&&o`<p class="empty" role="status">No matches.</p>`}
      <ul class="rows" data-testid="admin-users" aria-label="People" aria-busy=${r===null}>
        ${r==null?void 0:r.map(d=>o`
          <${Ze} key=${d.userId} user=${d} isPicked=${d.userId===a} onPick=${i} />`)}
      </ul>
      ${l&&o`
        <button class="button wide" type="button" data-testid="admin-more" onClick=${()=>this.#s(l)}>
          Show more</button>`}`}};function ce({name:n,label:t,initial:e="",options:s,onChange:a}){return o`
    <label class="choice"><span class="visually-hidden">${t}</span>
      <select name=${n} data-testid=${`admin-${n}`} onChange=${a}>
        ${s.map(([i,r])=>o`<option key=${i} value=${i} selected=${i===e}>${r}</option>`)}
      </select>
    </label>`}function Ze({user:n,isPicked:t,onPick:e}){let{userId:s,email:a,name:i,roles:r,lockedAt:l,online:c}=n;return o`
    <li class="row" data-testid="admin-user" data-locked=${String(l!==null)} data-picked=${t||void 0}>
      <button class="row-button" type="button" onClick=${()=>e(s)}>
        <span class="row-name">${I(n)}${" "}
          ${l&&o`<span class="badge is-danger">Locked</span>${" "}`}
          ${r.map(d=>o`<span key=${d} class="badge">${d}</span>${" "}`)}
        </span>
        <span class="device-line">${i?a:""}${i&&c?" \xB7 ":""}
          ${c&&o`<span class="online">Online now</span>`}</span>
      </button>
    </li>`}function de({alerts:n,onNotMe:t,onSeen:e}){let[s]=n;if(!s)return null;let{key:a,text:i,suspect:r,kinds:l}=s,c=!r&&(l!=null&&l.some(Rt))?" Already logged out.":"";return o`
    <div class="banner alert-banner" key=${a} data-testid="alert-banner">
      <p>${i}${c} ${n.length>1&&o`<span class="count tabular">1 of ${n.length}</span>`}</p>
      ${r&&o`
        <button class="button small danger solid" type="button" data-testid="alert-not-me"
                onClick=${()=>t(r)}>This wasn’t me</button>`}
      <button class="button small" type="button" data-testid="alert-seen" onClick=${()=>e(a)}>
        ${r?"It was me":"Close"}</button>
    </div>`}var Xe=80,ze=5*6e4,mt=class extends u{#t=m();#e=!0;onScroll=({currentTarget:{scrollTop:t,scrollHeight:e,clientHeight:s}})=>{this.#e=e-t-s<Xe};componentDidUpdate(){this.#e&&(this.#t.current.scrollTop=this.#t.current.scrollHeight)}send=t=>{this.#e=!0,this.props.onSend(t)};render({chat:t,userId:e,isLive:s,onSendAgain:a}){let{messages:i,members:r,outgoing:l}=t;return o`
      <section class="card chat-card" aria-labelledby="chat-title">
        <header class="chat-head">
          <h2 id="chat-title">Chat room</h2>
          <p class="muted chat-members" data-testid="chat-members">${es(r,e)}</p>
        </header>
        <div class="chat-scroll" ref=${this.#t} onScroll=${this.onScroll} tabindex="0" role="region"
             aria-label="Messages">
          ${i.length+l.length===0&&o`<${ts} joined=${t.joined} />`}
          <div role="log" aria-live="polite" aria-label="Messages received">
            <ol class="messages" data-testid="chat-messages">
              ${i.map((c,d)=>o`
                <${os} key=${c.messageId} message=${c} isOwn=${c.userId===e}
                            isContinued=${ss(i[d-1],c)} />`)}
            </ol>
          </div>
          <ol class="messages" aria-label="Messages not sent yet">
            ${l.map(c=>o`
              <${as} key=${c.key} ...${c} onAgain=${()=>a(c.key)} />`)}
          </ol>
        </div>
        <${Lt} onSend=${this.send} isLive=${s} maxLength=${t.maxTextLength} />
      </section>`}};function ts({joined:n}){return o`
    <div class="chat-empty"><${z} />
      <p>${n?"No messages yet. Say hello.":"Joining the room\u2026"}</p>
    </div>`}function es(n,t){let e=n.filter(s=>s.userId!==t).map(({name:s})=>s);return n.length===0?"":e.length===0?"Only you are here":e.length<4?`You and ${e.join(", ")}`:`You and ${e.length} others`}function ss(n,{userId:t,at:e}){return(n==null?void 0:n.userId)===t&&Date.parse(e)-Date.parse(n.at)<ze}function os({message:{messageId:n,name:t,text:e,at:s},isOwn:a,isContinued:i}){return o`
    <li class=${`message ${a?"is-own":""} ${i?"is-continued":""}`} data-testid="chat-message"
        data-message-id=${n}>
      <p class=${`message-head ${i?"visually-hidden":""}`}>
        <span class="message-name">${a?"You":t}</span>
        <time class="muted tabular" dateTime=${s}>${T(s)}</time>
      </p>
      <p class="message-text" data-testid="chat-text">${e}</p>
    </li>`}function as({text:n,status:t,problem:e,onAgain:s}){return o`
    <li class="message is-own is-outgoing" data-testid="chat-outgoing" data-status=${t}>
      <p class="message-text">${n}</p>
      <p class="message-status" role=${t==="waiting"?void 0:"alert"}>
        ${t==="waiting"?"Sending\u2026":e??"The connection was lost before this was confirmed."}
        ${t!=="waiting"&&o` <button class="link" type="button" onClick=${s}>Send again</button>`}
      </p>
    </li>`}var Lt=class extends u{state={text:""};submit=t=>{t.preventDefault();let e=this.state.text.trim();e&&(this.props.onSend(e),this.setState({text:""}))};render({isLive:t,maxLength:e},{text:s}){return o`
      <form class="composer" onSubmit=${this.submit}>
        <label class="visually-hidden" for="chat-input">Message</label>
        <input id="chat-input" class="composer-input" value=${s} maxlength=${e} autocomplete="off"
               placeholder=${t?"Write a message":"Not connected: messages are queued"} data-testid="chat-input"
               enterkeyhint="send" onInput=${({currentTarget:a})=>this.setState({text:a.value})} />
        <button class="button primary icon-only" type="submit" data-testid="chat-send" aria-disabled=${!s.trim()}>
          <${jt} /><span class="visually-hidden">Send</span>
        </button>
      </form>`}};var ns=4e3,ht=class extends u{state={remainingMs:0,lifetimeMs:0,renewed:!1};#t=m();componentDidMount(){let{client:t}=this.props;this.timer=setInterval(this.tick,250),this.stop=t.on("reauthenticated",this.flash),this.tick()}componentWillUnmount(){clearInterval(this.timer),clearTimeout(this.flashTimer),this.stop()}tick=()=>{let t=this.props.client.tokenLife(),e=t.lifetimeMs?Math.min(t.remainingMs/t.lifetimeMs,1):0;this.#t.current.style.transform=`scaleX(${e.toFixed(4)})`,M(t.remainingMs)!==M(this.state.remainingMs)&&this.setState(t)};flash=()=>{clearTimeout(this.flashTimer),this.setState({renewed:!0}),this.flashTimer=setTimeout(()=>this.setState({renewed:!1}),ns),this.tick()};render({connection:t,reauthentications:e},{remainingMs:s,renewed:a}){return o`
      <section class="card connection-card" aria-labelledby="link-title" data-testid="link-card">
        <h2 id="link-title">This connection</h2>
        <div class="token-life">
          <p class=${`token-life-label ${a?"is-renewed":""}`} data-testid="token-label">
            ${a?"Access token renewed in place":"Access token is renewed in"}
          </p>
          <p class="token-life-time tabular" role="timer" aria-live="off" data-testid="token-countdown"
             data-remaining-ms=${Math.round(s)}>${M(s)}</p>
        </div>
        <div class=${`token-life-bar ${a?"is-renewed":""}`} aria-hidden="true" data-testid="token-bar">
          <div class="token-life-bar-fill" ref=${this.#t}></div>
        </div>
        <dl class="facts">
          <dt>Socket</dt>
          <dd><code data-testid="socket-id">${t.socketId??"none"}</code></dd>
          <dt>Renewals</dt>
          <dd data-testid="reauth-count" data-count=${e}>${is(e)}</dd>
        </dl>
      </section>`}};function is(n){return n===0?"Not needed yet":`re-authenticated ${n} time${n===1?"":"s"}, same socket`}var rs={idle:"Starting",restoring:"Opening",connecting:"Connecting",live:"Live",expired:"Renewing",waiting:"Reconnecting","logged-out":"Logged out",ended:"Logged out"};function ue({connection:n}){return o`
    <p class=${`pill is-${n.state}`} role="status" data-testid="connection-state" data-state=${n.state}
       title=${n.code?`Last error: ${n.code}`:"State of the live connection"}>
      <span class="pill-dot" aria-hidden="true"></span>
      <span><span class="visually-hidden">Connection: </span>${rs[n.state]}</span>
    </p>`}var $t=class extends u{state={problem:""};keep=async()=>{try{await this.props.client.account.restore()}catch(t){this.setState({problem:y(f(t))})}};render({user:t},{problem:e}){return t!=null&&t.deletionAt?o`
      <div class="banner" data-testid="deletion-banner">
        Your account will be deleted on ${N(t.deletionAt)}. ${e}${" "}
        <button class="button small" type="button" data-testid="keep-account" onClick=${this.keep}>
          Keep my account</button>
      </div>`:null}};var ft=class extends u{state={isOpen:!1};#t=m();close=()=>this.setState({isOpen:!1},()=>{var t;return(t=this.#t.current)==null?void 0:t.focus()});rename=async({deviceName:t})=>{await this.props.client.renameDevice(this.props.session.sessionId,t),this.close()};closeByKey=t=>{t.key==="Escape"&&this.close()};render({name:t,maxLength:e},{isOpen:s}){if(!s)return o`
        <button class="link device-line" type="button" data-testid="device-rename" ref=${this.#t}
                aria-label=${`Rename ${t}`} onClick=${()=>this.setState({isOpen:!0})}>Rename</button>`;let a={name:"deviceName",label:"Device name",type:"text",autocomplete:"off",maxLength:e};return o`
      <div class="device-rename" onKeyDown=${this.closeByKey}>
        <${v} testid="device-rename-form" fields=${[a]} values=${{deviceName:t}} submitLabel="Rename"
                 busyLabel="Renaming…" focusFirst onSubmit=${this.rename} onCancel=${this.close} />
      </div>`}};var ls={desktop:X,phone:Mt,tablet:Ut},cs=1e4,bt={text:"",failed:!1},wt=class extends u{state={result:bt,busy:null,confirming:!1,pressed:null};#t=m();#e=m();componentDidMount(){this.timer=setInterval(()=>this.forceUpdate(),cs)}componentWillUnmount(){clearInterval(this.timer)}getSnapshotBeforeUpdate(){var e;let t=document.activeElement;return(e=this.base)!=null&&e.contains(t)?{focused:t,selection:t.matches("input")?[t.selectionStart,t.selectionEnd]:null}:null}componentDidUpdate({asOf:t},e,s){if(t!==null&&this.props.asOf===null&&this.state.result.failed&&this.setState({result:bt}),!s||document.activeElement!==document.body)return;let{focused:a,selection:i}=s,r=a.isConnected?a:this.#e.current??this.#t.current;r.focus({preventScroll:!0}),r===a&&i&&a.setSelectionRange(...i)}async run(t,e,s,a=null){if(!this.state.busy){this.setState({busy:t,confirming:!1,result:bt,pressed:a});try{let[i,r]=await s();this.setState({result:{text:i?R(i,r):"",failed:!1}}),this.props.onDone(i?`${e}. ${Bt(i,r)}`:`${e}.`)}catch(i){let r=f(i),l=r.code==="not_found";this.setState({result:{text:l?"Already logged out.":y(r),failed:!l}})}finally{this.setState({busy:null})}}}endOne=(t,e)=>this.run(t.sessionId,`You logged out ${A(t)}`,async()=>[await this.props.client.revoke(t.sessionId),1],{session:t,place:e});endOthers=()=>this.run("others","You logged out all other devices",async()=>{let{revoked:t,delivery:e}=await this.props.client.revokeOthers();return[e,t]});endAll=()=>this.run("all","You logged out everywhere",async()=>(await this.props.client.logoutAll(),[null,0]));close=()=>this.setState({pressed:null,result:bt});render({client:t,devices:e,asOf:s},{result:a,busy:i,confirming:r,pressed:l}){let{sessions:c,version:d}=e;return o`
      <section class=${`card devices-card ${s===null?"":"is-stale"}`} aria-labelledby="devices-title"
               data-testid="devices-card">
        <header class="devices-head">
          <h2 id="devices-title" tabindex="-1" ref=${this.#t}>
            Devices <span class="count tabular" data-testid="device-count">${c.length}</span>
          </h2>
          ${s!==null&&o`<p class="as-of" data-testid="devices-as-of">As of ${T(s)}</p>`}
          ${this.buttons(c.length,i)}
        </header>
        <p class=${l?"visually-hidden":`result ${a.failed?"is-error":""}`} role="status"
           data-testid="devices-result">${a.text}</p>
        ${d===null&&c.length===0&&o`<p class="empty">Loading your devices…</p>`}
        <ul class="devices" data-testid="device-list" aria-busy=${e.stale}>${this.rows(t.serverNow())}</ul>
        ${c.length===1&&o`<p class="empty">Log in from another browser, and it appears here at once.</p>`}
        ${c.some(p=>p.location)&&o`
          <p class="attribution"><a href="https://db-ip.com" rel="noreferrer">IP Geolocation by DB-IP</a></p>`}
        ${r&&this.confirmation(c)}
      </section>`}rows(t){let{busy:e,pressed:s,result:a}=this.state,{client:i,config:r,devices:{sessions:l},asOf:c}=this.props,d=s==null?void 0:s.session.sessionId,p=l.map((h,w)=>o`
      <${ds} key=${h.sessionId} client=${i} config=${r} session=${h} now=${t} asOf=${c}
                    busy=${e===h.sessionId} problem=${h.sessionId===d&&a.failed?a.text:""}
                    onEnd=${()=>this.endOne(h,w)} />`);return s&&!l.some(({sessionId:h})=>h===d)&&p.splice(s.place,0,this.outcome(s.session,a)),p}outcome(t,{text:e,failed:s}){return o`
      <li class="device device-outcome" key="outcome" tabindex="-1" ref=${this.#e} data-testid="device-outcome">
        <p class="device-name">${A(t)}</p>
        <button class="button small" type="button" data-testid="outcome-close" onClick=${this.close}>Close</button>
        <p class=${`result ${s?"is-error":""}`}>${e||"Logging out\u2026"}</p>
      </li>`}buttons(t,e){return o`
      <div class="card-actions">
        <button class="button small" type="button" data-testid="logout-others" aria-disabled=${t<2||e!==null}
                onClick=${()=>t>1&&this.endOthers()}>Log out all others</button>
        <button class="button small danger" type="button" data-testid="logout-all" aria-disabled=${e!==null}
                onClick=${()=>this.setState({confirming:!0})}>Log out everywhere…</button>
      </div>`}confirmation(t){let e=t.length;return o`
      <${j} title="Log out everywhere?" confirmLabel=${e>1?`Log out ${e} devices`:"Log out"}
                        onConfirm=${this.endAll} onCancel=${()=>this.setState({confirming:!1})}>
        <p>${e>1?o`This logs out ${e} devices, including this one: <b>${H(t)}</b>.`:"This logs out this device. No other device is logged in."}</p>
      <//>`}};function ds({client:n,config:t,session:e,now:s,asOf:a,busy:i,problem:r,onEnd:l}){let{device:c,isCurrent:d,ip:p}=e,h=ls[c.kind]??Ft,w=A(e),$=D(e),B=[_(e),p].filter(Boolean).join(" \xB7 "),Y=e.online&&a===null;return o`
    <li class="device" data-testid="device" data-session-id=${e.sessionId} data-current=${String(d)}
        data-online=${String(Y)}>
      <div class="device-icon">
        <${h} /><span class=${`dot ${Y?"is-online":""}`} aria-hidden="true"></span>
      </div>
      <p class="device-name"><span data-testid="device-name">${w}</span>
        ${d&&o` <span class="badge" data-testid="this-device">This device</span>`}</p>
      <button class="button small" type="button" data-testid="device-logout" aria-disabled=${i} onClick=${l}
              aria-label=${d?"Log out this device":`Log out ${w}`}>
        ${i?"Logging out\u2026":"Log out"}
      </button>
      <div class="device-lines">
        ${$&&$!==w&&o`<p class="device-line">${$}</p>`}
        <p class="device-line" data-testid="device-place">${B||"Unknown place"}</p>
        <p class="device-line" data-testid="device-seen">
          ${Y?o`<span class="online">Online now</span>`:e.online?`Online at ${T(a)}`:`Last seen ${g(e.lastSeenAt,s)}`}
          ${" \xB7 "}<time dateTime=${e.loggedInAt}>logged in ${g(e.loggedInAt,s)}</time></p>
        <${ft} client=${n} session=${e} name=${w} maxLength=${t.maxLengths.deviceName} />
        ${r&&o`<p class="result is-error" data-testid="device-problem">${r}</p>`}
      </div>
    </li>`}var us={step_up_required:"The device was not approved. Confirm it\u2019s you first."},yt=class extends u{state={busy:!1,denying:!1,problem:""};componentDidMount(){this.timer=setInterval(()=>this.tick(),500)}componentWillUnmount(){clearInterval(this.timer)}#t(){return Date.parse(this.props.request.expiresAt)-this.props.client.serverNow()}tick(){if(this.#t()<=0)return this.props.onClosed("A new device asked for approval. The request expired.");this.forceUpdate()}answer=async t=>{if(this.state.busy)return;let{onAnswer:e,onClosed:s,onDenied:a}=this.props;this.setState({busy:!0,problem:""});try{let{status:i,tryAgain:r}=await e(t);if(r)return s("You chose a wrong number for a new device.");s(i==="approved"?"You approved a new device.":"You denied a new device."),i==="denied"&&a()}catch(i){let r=f(i);if(r.code==="not_found")return s("A new device asked for approval. The request has ended.");this.setState({busy:!1,problem:us[r.code]??y(r)})}};render({request:t,onClosed:e},{busy:s,denying:a,problem:i}){let r=[_(t),t.ip].filter(Boolean).join(" \xB7 ");return o`
      <${E} title="Are you logging in on another device?" testid="approval" unasked
                 onClose=${()=>e(null)}>
        <dl class="facts">
          <dt>Device</dt><dd data-testid="approval-device">${D(t)||"Unknown"}</dd>
          <dt>From</dt><dd>${r||"Unknown place"}</dd>
          <dt>Time left</dt><dd class="tabular">${M(this.#t())}</dd>
        </dl>
        ${t.afterWrongNumber?o`
          <p class="notice is-warning" data-testid="approval-again">That number was wrong. The other device now shows a
            new one. Another wrong number denies the login.</p>
          <p>Choose the new number it shows:</p>`:o`<p>Choose the number it shows:</p>`}
        <div class="approval-choices">
          ${t.numbers.map(l=>o`
            <button key=${l} class="button approval-choice tabular" type="button" aria-disabled=${s}
                    data-testid="approval-choice" onClick=${()=>this.answer({number:l})}>${l}</button>`)}
        </div>
        <div class="form-problem" role="alert">${i}</div>
        ${a?o`
          <div class="card-actions" key="question" role="group" aria-label="Not me">
            <button class="button danger" type="button" data-testid="approval-deny" aria-disabled=${s}
                    onClick=${()=>this.answer({deny:!0})}>Deny</button>
            <button class="button danger solid" type="button" data-testid="approval-deny-all" aria-disabled=${s}
                    onClick=${()=>this.answer({deny:!0,endAll:!0})}>Deny and log out all my devices</button>
            <button class="button" type="button" data-testid="approval-back" ref=${ps}
                    onClick=${()=>this.setState({denying:!1})}>Back</button>
          </div>`:o`
          <button class="button danger wide" type="button" data-testid="approval-not-me"
                  onClick=${()=>this.setState({denying:!0})}>Not me</button>`}
      <//>`}},ps=n=>n==null?void 0:n.focus();var ms={account:"This changes how your account is protected.",approval:"Confirm it\u2019s you to let this device in."};function pe({client:n,config:t,methods:e,purpose:s,onDone:a}){let i=async r=>{await n.stepUp(r),a(!0)};return o`
    <${E} title="Confirm it’s you" testid="step-up" onClose=${()=>a(!1)}>
      <p class="muted">${ms[s]}</p>
      <${Ht} config=${t} methods=${e} submitLabel="Continue" onAnswer=${i}
                     passkeyOptions=${n.account.stepUpOptions} />
      <button class="button wide" type="button" data-testid="step-up-cancel" onClick=${()=>a(!1)}>
        Cancel</button>
    <//>`}function me({client:n,config:t,stepUp:e,approvals:[s],onAnswer:a,onDenied:i,onClosed:r}){return o`
    ${s&&o`
      <${yt} key=${s.approvalId} client=${n} request=${s}
                         onAnswer=${l=>a(s,l)} onDenied=${i}
                         onClosed=${l=>r(s.approvalId,l)} />`}
    ${e&&o`<${pe} client=${n} config=${t} ...${e} />`}`}var hs=10,$s=new Set(["login_failed","login_disowned","refresh_reused","refresh_elsewhere","impossible_travel","rapid_refresh","passkey_copied","approval_denied"]),gt=class extends u{state={recorded:[],next:null,isMissing:!1,isLoading:!0};#t=0;componentDidMount(){this.stop=this.props.client.on("ready",({recovered:t})=>{t||this.read(null)}),this.props.client.state.state==="live"&&this.read(null)}componentWillUnmount(){this.stop(),this.#t++}async read(t){let e=++this.#t;this.setState({isMissing:!1,isLoading:!0});let s=await this.props.client.account.securityLog({limit:hs,before:t}).catch(()=>null);e===this.#t&&this.setState(({recorded:a,next:i})=>s?{recorded:t?[...a,...s.events]:s.events,next:s.next,isLoading:!1}:{recorded:a,next:i,isMissing:!0,isLoading:!1})}render({client:t,entries:e,onNotMe:s},{recorded:a,next:i,isMissing:r,isLoading:l}){let c=t.serverNow();return o`
      <section class="card security-log-card" aria-labelledby="activity-title">
        <h2 id="activity-title">Security log</h2>
        <div role="log" aria-live="polite" aria-relevant="additions" aria-labelledby="activity-title"
             data-testid="security-log">
          <ul class="security-log">
            ${e.map(({key:d,at:p,tone:h,text:w,suspect:$})=>o`
              <${he} key=${d} testid="security-entry" at=${p} now=${c} tone=${h} text=${w}>
                ${$&&o`
                  <button class="button small danger" type="button" data-testid="not-me"
                          onClick=${()=>s($)}>This wasn’t me</button>`}
              <//>`)}
          </ul>
        </div>
        <ul class="security-log" aria-label="Recorded events" aria-busy=${l}>
          ${a.map(d=>o`
            <${he} key=${d.id} testid="recorded-event" at=${Date.parse(d.at)} now=${c}
                    tone=${$s.has(d.kind)?"warning":"info"} text=${fs(d)} />`)}
        </ul>
        ${r&&o`
          <${k} client=${t} text="Recorded events could not be loaded." onRetry=${()=>this.read(i)} />`}
        ${!r&&i&&o`
          <button class="button small" type="button" data-testid="recorded-more" aria-disabled=${l}
                  onClick=${()=>!l&&this.read(i)}>Show earlier</button>`}
        ${!r&&!l&&e.length+a.length===0&&o`
          <p class="empty with-icon"><${tt} />No events yet. Logins, logouts and alerts appear here.</p>`}
      </section>`}};function he({testid:n,at:t,now:e,tone:s,text:a,children:i}){let r=new Date(t).toDateString()===new Date(e).toDateString();return o`
    <li class=${`security-log-entry is-${s}`} data-testid=${n} data-tone=${s}>
      <time class="tabular" dateTime=${new Date(t).toISOString()}>
        ${r?T(t):o`${Nt(t)}<br />${T(t)}`}</time>
      <span>${a}</span>
      ${i}
    </li>`}function fs(n){let t=[D(n),_(n),n.ip].filter(Boolean).join(", ");return[O(n.kind),t,U(n.details)].filter(Boolean).join(" \xB7 ")}var bs=[{id:"devices",label:"Devices",Icon:X},{id:"security",label:"Security",Icon:tt},{id:"chat",label:"Chat",Icon:z}],ws={view:"account",part:""},ys={view:"admin",part:""},$e=class extends u{#t=m();#e=kt;componentDidMount(){this.#t.current.contains(document.activeElement)||this.#t.current.focus({preventScroll:!0})}componentDidUpdate({model:t}){t.route.view!==this.props.model.route.view&&scrollTo(0,0)}skip=t=>{t.preventDefault(),Ot()};render({model:t,client:e,room:s,dialogs:a,onLogout:i,onDone:r,onNotMe:l,onSeen:c,onGo:d,onTitle:p}){let{config:h,connection:w,user:$,userId:B,devices:Y,chat:be,entries:Dt,reauthentications:we,problem:Et,asOf:ye}=t,C=t.route.view==="admin"&&!Tt($)?kt:t.route;St(C)&&(this.#e=C);let Q=()=>d(this.#e),ge=St(C)?"h1":"p";return o`
      <div class=${`logged-in shows-${C.view}`} data-testid="app">
        <a class="skip" href="#main" onClick=${this.skip}>Skip to content</a>
        <div class="head">
          <header class="topbar">
            <div class="brand"><${qt} /><${ge} class="brand-name">Vigil<//></div>
            <${ue} connection=${w} />
            <p class="who" data-testid="user-name" title=${$==null?void 0:$.email}>${($==null?void 0:$.name)||($==null?void 0:$.email)||""}</p>
            ${Tt($)&&o`<${fe} label="Admin" to=${ys} route=${C} close=${Q} onGo=${d} />`}
            <${fe} label="Account" to=${ws} route=${C} close=${Q} onGo=${d} />
            <button class="button small" type="button" data-testid="logout" onClick=${i}>Log out</button>
          </header>
          <div class="banner-place" role="alert">
            ${Et&&o`<p class="banner" data-testid="problem">${Et}</p>`}
            <${$t} client=${e} user=${$} />
            <${de} alerts=${Pt(Dt)} onNotMe=${l} onSeen=${c} />
          </div>
        </div>
        <main class="panes" id="main" tabindex="-1" ref=${this.#t}>
          <div class="pane pane-devices">
            <${wt} client=${e} config=${h} devices=${Y} asOf=${ye} onDone=${r} />
          </div>
          <div class="pane pane-security">
            <${ht} client=${e} connection=${w} reauthentications=${we} />
            <${gt} client=${e} entries=${Dt} onNotMe=${l} />
          </div>
          <div class="pane pane-chat">
            <${mt} chat=${be} userId=${B} isLive=${w.state==="live"}
                         onSend=${x=>s.send(x)} onSendAgain=${x=>s.sendAgain(x)} />
          </div>
          ${C.view==="account"&&o`
            <div class="pane-whole">
              <${dt} client=${e} config=${h} user=${$} notice=${t.notice} onDone=${r}
                              onClose=${Q} />
            </div>`}
          ${C.view==="admin"&&o`
            <div class="pane-whole">
              <${pt} client=${e} user=${$} part=${C.part} onClose=${Q} onTitle=${p}
                            onPart=${x=>d({view:"admin",part:x})} />
            </div>`}
        </main>
        <nav class="tabbar" aria-label="Views">
          ${bs.map(({id:x,label:ve,Icon:ke})=>o`
            <button key=${x} class="tab" type="button" data-testid=${`pane-${x}`}
                    aria-current=${C.view===x?"page":void 0}
                    onClick=${()=>d({view:x,part:""})}><${ke} />${ve}</button>`)}
        </nav>
      </div>
      <${me} client=${e} config=${h} stepUp=${t.stepUp} approvals=${t.approvals} ...${a} />`}};function fe({label:n,to:t,route:e,close:s,onGo:a}){let i=e.view===t.view;return o`
    <button class="button small" type="button" data-testid=${t.view} aria-pressed=${i}
            onClick=${i?s:()=>a(t)}>${n}</button>`}export{$e as LoggedInView};
