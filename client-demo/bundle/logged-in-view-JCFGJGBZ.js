import{A as w,E as Be,G as Z,H as qe,I as Ye,J as We,K as z,L as ee,O as Ge,Q as Ke,T as M,U as Ve,V as Ce,W as xe,Z as He,_ as Qe,a as _,b as D,ba as Xe,ca as Je,d as Q,da as _e,e as A,ea as k,f as g,g as F,h as v,ha as Ze,i as Me,j,ja as ze,k as T,ka as et,l as Ue,m as P,o as X,q as Fe,s as J,t as b,u as $,v as u,w as Se,x as o,y as O,z as je}from"./chunk-SL74V5SY.js";function te(n,e,t){let s=Object.assign(document.createElement("a"),{href:URL.createObjectURL(new Blob([e],{type:t})),download:n});s.click(),URL.revokeObjectURL(s.href)}var S=class extends u{componentDidMount(){this.stop=this.props.client.on("ready",()=>this.props.onRetry())}componentWillUnmount(){this.stop()}render({text:e,onRetry:t}){return o`
      <div class="load-problem" role="alert" data-testid="load-problem">
        <p>${e}</p>
        <button class="button small" type="button" data-testid="try-again" onClick=${t}>Try again</button>
      </div>`}};var tt={testid:"",place:0},y=class extends u{what="";state={isMissing:!1,open:null,busy:!1,result:{text:"",failed:!1},...this.firstState()};firstState(){return{}}async load(){}reload=()=>this.load().then(()=>this.setState({isMissing:!1}),()=>this.setState({isMissing:!0}));componentDidMount(){this.stop=this.props.client.on("ready",()=>this.state.result.failed&&this.say("")),this.reload()}componentWillUnmount(){this.stop()}getSnapshotBeforeUpdate(){var e;return((e=this.base)==null?void 0:e.contains(document.activeElement))??!1}componentDidUpdate(e,t,s){if(!s||document.activeElement!==document.body)return;let{testid:a,place:i}=this.#e,r=this.base.querySelectorAll(`[data-testid="${a}"]`)[i];(this.base.querySelector("[role=group][tabindex]")??r??this.base.querySelector("h2")).focus()}#e=tt;show=e=>{let{testid:t}=document.activeElement.dataset;if(e&&t&&this.base.contains(document.activeElement)){let s=[...this.base.querySelectorAll(`[data-testid="${t}"]`)];this.#e={testid:t,place:s.indexOf(document.activeElement)}}this.setState({open:e,result:{text:"",failed:!1}})};say=(e,{failed:t=!1,...s}={})=>this.setState({result:{text:e,failed:t},...s});async run(e){if(!this.state.busy){this.setState({busy:!0,result:{text:"",failed:!1}});try{let t=await e();this.#e=tt,this.say(t,{open:null})}catch(t){this.say(w(b(t)),{failed:!0})}finally{this.setState({busy:!1})}}}card({id:e,title:t,summary:s},a){let{result:{text:i,failed:r},isMissing:l}=this.state,d=l&&o`
      <${S} client=${this.props.client} text=${`${this.what} could not be loaded.`} onRetry=${this.reload} />`;return o`
      <section class="card setting" aria-labelledby=${`${e}-title`} data-testid=${`setting-${e}`}>
        <h2 id=${`${e}-title`} tabindex="-1">${t}</h2>
        <div class="setting-summary muted" data-testid=${`${e}-summary`}>${d||s}</div>
        ${a}
        <p class=${`result ${r?"is-error":""}`} role="status" data-testid=${`${e}-result`}>${i}</p>
      </section>`}question(e,t,s,a){return o`
      <div class="card-actions question" key="question" role="group" tabindex="-1" aria-label=${t}
           onKeyDown=${({key:i})=>i==="Escape"&&this.show(null)}>
        <p>${t}</p>
        ${this.button(`${e}-confirm`,s,a,{danger:!0})}
        ${this.button(`${e}-cancel`,"No",()=>this.show(null))}
      </div>`}button(e,t,s,{danger:a=!1,small:i=!1}={}){return o`
      <button class=${`button ${a?"danger":""} ${i?"small":""}`} type="button" data-testid=${e}
              aria-disabled=${this.state.busy} onClick=${s}>${t}</button>`}};var se=class extends y{export=()=>this.run(async()=>{let e=await this.props.client.account.export();return te("account.json",JSON.stringify(e,null,2),"application/json"),"Saved as account.json."});delete=()=>this.run(async()=>(await this.props.client.account.delete(),""));restore=()=>this.run(async()=>(await this.props.client.account.restore(),"Your account will not be deleted."));render({client:e,config:t,user:s},{open:a}){let i=s.deletionAt&&P(s.deletionAt),r=i?`Your account will be deleted on ${i}.`:"Download a copy of your data, or delete your account.",l=t.lifetimes.accountDeletionMs,d=l?`Until ${P(e.serverNow()+l)} you`:"You";return this.card({id:"data",title:"Your data",summary:r},a?o`
      <p>All your devices will be logged out. ${d} can log in and press “Keep my account”.</p>
      ${this.question("delete","Delete the account?","Yes, delete it",this.delete)}`:o`
      <div class="card-actions" key="actions">
        ${this.button("export","Download my data",this.export)}
        ${i?this.button("restore","Keep my account",this.restore):this.button("delete-account","Delete account",()=>this.show("delete"),{danger:!0})}
      </div>`)}};var st={access_denied:"An action was refused: the role is missing",account_erased:"The account was erased",account_locked:"The account was locked",account_unlocked:"The account was unlocked",admin_account_locked:"An account was locked by this administrator",admin_account_unlocked:"An account was unlocked by this administrator",admin_audit_read:"The audit log was read by this administrator",admin_factors_removed:"Login methods were removed by this administrator",admin_overview_read:"The overview was read by this administrator",admin_roles_changed:"Roles were changed by this administrator",admin_server_key_created:"A server key was created by this administrator",admin_server_key_revoked:"A server key was revoked by this administrator",admin_server_keys_listed:"The server keys were listed by this administrator",admin_session_ended:"A session was ended by this administrator",admin_sessions_ended:"All sessions of an account were ended by this administrator",admin_user_seen:"An account was viewed by this administrator",admin_users_searched:"Accounts were searched by this administrator",admin_webhook_created:"A webhook was created by this administrator",admin_webhook_deliveries_listed:"What a webhook did not accept was listed by this administrator",admin_webhook_removed:"A webhook was removed by this administrator",admin_webhook_secret_added:"A secret was added to a webhook by this administrator",admin_webhook_sent_again:"Facts were sent again to a webhook by this administrator",admin_webhooks_listed:"The webhooks were listed by this administrator",alert_dismissed:"An alert was answered with \u201CIt was me\u201D",approval_allowed:"Login approval was turned on",approval_approved:"A login was approved on another device",approval_asked:"A login asked for approval",approval_changed:"Login approval was turned on or off",approval_denied:"A login was denied",approval_forbidden:"Login approval was turned off",approval_wrong_number:"A wrong approval number was chosen",data_exported:"The account\u2019s data was downloaded",deletion_asked:"Deletion of the account was requested",deletion_taken_back:"Deletion of the account was cancelled",device_renamed:"A device was renamed",email_change_asked:"A change of the e-mail address was requested",email_change_cancelled:"The change of the e-mail address was cancelled",email_changed:"The e-mail address was changed",email_verified:"The e-mail address was confirmed",factor_undone:"A login method was removed by a mailed link",factors_removed:"Login methods were removed",identity_link_failed:"A provider could not be linked",identity_linked:"A provider was linked",identity_unlinked:"A provider was unlinked",identity_voided:"A provider\u2019s link was removed: it belonged to an unconfirmed address",impossible_travel:"A login was used in two distant places within a short time",jobs_page_acted:"A job was changed on the jobs page",jobs_page_opened:"The jobs page was opened",keys_reset:"The keys were reset, and every session ended",login:"Logged in",login_denied:"A login to the account was denied",login_disowned:"\u201CThis wasn\u2019t me\u201D was chosen",login_failed:"A login failed",new_country:"A login came from a new country",new_device:"A new device logged in",passkey_added:"A passkey was added",passkey_copied:"A copy of a passkey was rejected",passkey_removed:"A passkey was removed",password_change_failed:"A change of the password failed",password_changed:"The password was changed",password_guessed:"Many wrong passwords were entered",password_rehashed:"The password was stored with a stronger hash",password_reset:"The password was reset by a mailed link",password_reset_asked:"A link to reset the password was requested",phone_added:"A phone number was added",phone_code_asked:"An SMS code was requested",phone_removed:"The phone number was removed",rapid_refresh:"A login was renewed unusually often",recovery_code_used:"A recovery code was used",recovery_codes_made:"New recovery codes were created",refresh_concurrent:"A login was renewed twice at the same time",refresh_elsewhere:"A login was also used from somewhere else",refresh_forged:"A forged token was rejected",refresh_late:"A renewal of a login came too late",refresh_replayed:"A renewal of a login was repeated",refresh_reused:"A copied login was used, and blocked",registered:"The account was created",registered_again:"Someone tried to create an account with this address again",roles_changed:"The roles were changed",second_factor_failed:"Two-step verification failed",server_key_created:"A server key was created by the operator of the server",server_key_revoked:"A server key was revoked by the operator of the server",server_key_used:"A backend acted with its server key",session_revoked:"A device was logged out",sessions_revoked_by_operator:"Sessions were ended by the operator of the server",sms_limited:"An SMS was not sent: the limit is reached",step_up:"Identity was confirmed for a sensitive change",step_up_failed:"Identity was not confirmed for a sensitive change",totp_disabled:"The authenticator app was turned off",totp_enabled:"The authenticator app was turned on",users_imported:"Accounts were imported by the operator of the server",user_provisioned:"The account was created by the backend of an application",webhook_created:"A webhook was created by the operator of the server",webhook_removed:"A webhook was removed by the operator of the server",webhook_secret_added:"A secret was added to a webhook by the operator of the server",webhook_sent_again:"Facts were sent again to a webhook by the operator of the server"},U=n=>X(st,n)??F(n.replaceAll("_"," "));function ot(n){let e=n.trim().toLowerCase(),t=Object.entries(st).find(([,s])=>s.toLowerCase()===e);return t?t[0]:e.replaceAll(" ","_")}var Rt={pwd:"password",otp:"authenticator app",hwk:"passkey",sms:"SMS",mfa:"two steps",mca:"approval on another device",recovery_code:"recovery code"},It=new Set(["delivery","generation","bySession"]),Nt={user:"by the account\u2019s owner",admin:"by an administrator",system:"by the server"};function B(n={}){return Object.entries(n).filter(([e])=>!It.has(e)).map(([e,t])=>e==="amr"?`by ${t.split(/[\s,]+/).map(a=>X(Rt,a)??a).join(", ")}`:e==="by"&&X(Nt,t)||`${Pt(e)}: ${t.replaceAll("_"," ")}`).join(" \xB7 ")}var Pt=n=>n.replaceAll("_"," ").replace(/[A-Z]/g,e=>` ${e.toLowerCase()}`);var Mt=10,at=n=>F(B(n.details)),oe=class extends y{firstState(){return{events:null,next:null}}more=()=>this.run(async()=>{let{events:e,next:t}=this.state,s=await this.props.client.account.securityLog({limit:Mt,before:t});return this.setState({events:[...e??[],...s.events],next:s.next}),""});render({client:e},{events:t,next:s}){let a=e.serverNow(),i=t?"Show more":"Show the history";return this.card({id:"log",title:"Account history",summary:"Changes to your account and logins, with device and location."},o`
      <ul class="rows">
        ${(t??[]).map(l=>o`
          <li key=${l.id} class="row" data-testid="log-event" data-kind=${l.kind}>
            <div class="row-text">
              <p class="row-name">${U(l.kind)}</p>
              ${at(l)&&o`<p class="device-line">${at(l)}</p>`}
              <p class="device-line">
                ${[v(l.at,a),D(l),A(l),l.ip].filter(Boolean).join(" \xB7 ")}
              </p>
            </div>
          </li>`)}
      </ul>
      ${(t===null||s)&&o`<div class="card-actions">${this.button("show-log",i,this.more)}</div>`}`)}};var Ut={...Je,label:"New e-mail address",autocomplete:"email"},Ft={old:"Confirmed from your current mailbox. Open the link in the mail to the new address.",new:"Confirmed from the new mailbox. Open the link in the mail to your current address."},ae=class extends y{change=async({email:e})=>{let{client:t,config:s}=this.props;await t.account.changeEmail(e);let a=s.lifetimes.emailChangeLinkMs;this.say(`Two mails were sent: open the link in both${a?` within ${Me(a)}`:""}.`,{open:null}),await t.me().catch(()=>{})};cancel=()=>this.run(async()=>{let{client:e}=this.props;return await e.account.cancelEmailChange(),await e.me(),"The change was cancelled. Your address stays the same."});render({client:e,user:t},{open:s}){let{pendingEmail:a}=t,i=a&&Date.parse(a.expiresAt)>e.serverNow(),r=o`<span class="breakable">${t.email}</span>`;return this.card({id:"email",title:"E-mail address",summary:r},o`
      ${i&&o`
        <p class="field-note breakable" data-testid="pending-email">
          Change to <strong>${a.email}</strong>, until ${T(a.expiresAt)}.${" "}
          ${Ft[a.confirmed]??"Open the links in the mails to both addresses."}</p>`}
      ${s?o`
        <${k} testid="email-form" fields=${[Ut]} focusFirst submitLabel="Send the links"
                 busyLabel="Sending…" onSubmit=${this.change} onCancel=${()=>this.show(null)} />`:o`<div class="card-actions">
          ${this.button("change-email","Change address",()=>this.show("form"))}
          ${i&&this.button("cancel-email","Cancel the change",this.cancel)}</div>`}`)}};var ne=class extends y{what="Your linked logins";firstState(){return{identities:null}}async load(){this.setState({identities:await this.props.client.account.identities()})}link=e=>this.run(async()=>(location.assign(await this.props.client.account.linkUrl(e)),"Opening the provider\u2026"));unlink=e=>this.run(async()=>(await this.props.client.account.unlink(e),await this.load(),"Unlinked."));render({client:e,config:{loginMethods:{providers:t}}},{identities:s,isMissing:a}){if(!t.length&&!(s!=null&&s.length))return null;if(!s)return a&&this.card({id:"identities",title:"Linked logins",summary:""});let i=p=>{var m;return((m=t.find(f=>f.id===p))==null?void 0:m.name)??p},r=new Set(s.map(({provider:p})=>p)),l=t.filter(({id:p})=>!r.has(p)),d=e.serverNow(),c=s.length?"You can log in to this account with these.":"None yet.";return this.card({id:"identities",title:"Linked logins",summary:c},o`
      <ul class="rows">
        ${s.map(({id:p,provider:m,label:f,lastUsedAt:h,linkedAt:E})=>o`
          <li key=${p} class="row" data-testid="identity">
            <div class="row-text">
              <p class="row-name">${i(m)}</p>
              <p class="device-line">${[f,`used ${v(h??E,d)}`].filter(Boolean).join(" \xB7 ")}</p>
            </div>
            <div class="row-actions">
              ${this.button("unlink","Unlink",()=>this.unlink(p),{small:!0,danger:!0})}</div>
          </li>`)}
      </ul>
      ${l.length>0&&o`
        <div class="card-actions">
          ${l.map(({id:p,name:m})=>this.button(`link-${p}`,`Link ${m}`,()=>this.link(p)))}
        </div>`}`)}};var ie=class extends u{state={lacksTwoStep:!1,isBusy:!1,result:{text:"",failed:!1}};componentDidMount(){let e=({methods:t})=>this.setState({lacksTwoStep:t.length===0});this.props.client.account.factors().then(e,()=>{})}endOthers=async()=>{if(!this.state.isBusy){this.setState({isBusy:!0,result:{text:"",failed:!1}});try{let{revoked:e}=await this.props.client.revokeOthers(),t=e?`${g(e,"other device")} logged out.`:"No other device is logged in.";this.setState({result:{text:t,failed:!1}})}catch(e){this.setState({result:{text:w(b(e)),failed:!0}})}finally{this.setState({isBusy:!1})}}};render({onPassword:e,onTwoStep:t},{lacksTwoStep:s,isBusy:a,result:i}){return o`
      <div class="card-actions" role="group" aria-label="Next steps" data-testid="next-steps">
        <button class="button primary" type="button" data-testid="next-password" onClick=${e}>
          Change password</button>
        <button class="button danger" type="button" data-testid="next-log-out" aria-disabled=${a}
                onClick=${this.endOthers}>Log out all other devices</button>
        ${s&&o`
          <button class="button" type="button" data-testid="next-two-step" onClick=${t}>
            Turn on two-step verification</button>`}
      </div>
      <p class=${`result ${i.failed?"is-error":""}`} role="status" data-testid="next-result">${i.text}</p>`}};var nt="recovery-codes.txt";function W(n,e){let t=document.body.appendChild(document.createElement("div")),s=()=>{a(),Se(null,t),t.remove()},a=n.on("state",({state:i})=>{(i==="ended"||i==="logged-out")&&s()});Se(o`<${Ae} client=${n} codes=${e} onClose=${s} />`,t)}var Ae=class extends u{state={result:"",isKept:!1,isAsking:!1};componentDidMount(){addEventListener("beforeunload",this.warn)}componentWillUnmount(){removeEventListener("beforeunload",this.warn)}warn=e=>{this.state.isKept||(e.preventDefault(),e.returnValue="")};download=()=>{var a;let{client:e,codes:t}=this.props,s=`Recovery codes of ${((a=e.user)==null?void 0:a.email)??"your account"} at ${location.host}, ${P(e.serverNow())}.`;te(nt,`${s}
Each code works once.

${t.join(`
`)}
`,"text/plain"),this.setState({isKept:!0,result:`Saved as ${nt}.`})};copy=async()=>{try{await navigator.clipboard.writeText(this.props.codes.join(`
`)),this.setState({isKept:!0,result:"Copied."})}catch{this.setState({result:"Could not copy. Select the codes, or download them."})}};leave=()=>{this.state.isKept||this.state.isAsking?this.props.onClose():this.setState({isAsking:!0})};render({codes:e,onClose:t},{result:s,isAsking:a}){return o`
      <${O} title="Save your recovery codes" testid="recovery-codes" onClose=${this.leave}>
        <p>They let you log in without your other devices. They are shown only once, and each works once.</p>
        <ul class="codes tabular">${e.map(i=>o`<li key=${i}><code>${i}</code></li>`)}</ul>
        <p class="result" role="status" data-testid="codes-result">${s}</p>
        ${a?o`
          <div class="card-actions" role="group" aria-labelledby="codes-question" key="question">
            <p id="codes-question" class="question-text">Close without saving? You cannot see these codes again.</p>
            <button class="button" type="button" data-testid="codes-stay" ref=${jt}
                    onClick=${()=>this.setState({isAsking:!1})}>Keep them open</button>
            <button class="button danger solid" type="button" data-testid="codes-discard" onClick=${t}>Close</button>
          </div>`:o`
          <div class="card-actions" key="actions">
            <button class="button" type="button" data-testid="download-codes" onClick=${this.download}>Download</button>
            <button class="button" type="button" data-testid="copy-codes" onClick=${this.copy}>Copy</button>
            <button class="button primary" type="button" data-testid="codes-kept" onClick=${t}>I have saved them</button>
          </div>`}
      <//>`}},jt=n=>n==null?void 0:n.focus();var Bt=()=>{var n;return((n=/Windows|Android|iPhone|iPad|Mac|Linux/.exec(navigator.userAgent))==null?void 0:n[0])??"This device"},it={name:"name",label:"Name",type:"text",autocomplete:"off",hint:"Helps you tell your passkeys apart."},re=class extends y{what="Your passkeys";firstState(){return{passkeys:null,wantsCodes:!1}}async load(){this.setState({passkeys:await this.props.client.account.passkeys()})}add=async({name:e})=>{let{client:{account:t},onPasskeys:s}=this.props,a=await Xe(await t.newPasskeyOptions());await t.addPasskey({credential:a,name:e.trim()}),this.say("Passkey added. A login with your password now asks for it too.",{open:null}),await this.load();let{recoveryCodes:i}=await t.factors();this.setState({wantsCodes:!i}),s()};getCodes=()=>this.run(async()=>{let{client:e}=this.props;return W(e,await e.account.renewRecoveryCodes()),this.setState({wantsCodes:!1}),this.props.onPasskeys(),""});rename=async(e,{name:t})=>{await this.props.client.account.renamePasskey(e,t.trim()),await this.load(),this.say("Renamed.",{open:null})};remove=e=>this.run(async()=>(await this.props.client.account.removePasskey(e),await this.load(),this.props.onPasskeys(),"Passkey removed."));render(e,{passkeys:t,wantsCodes:s,open:a}){let l=t===null?"Loading\u2026":t.length?"Use them to log in and to confirm it\u2019s you.":"None yet. A passkey logs you in with your fingerprint, face or PIN, and cannot be phished. Once you have one, a login with your password asks for it too.";return this.card({id:"passkeys",title:"Passkeys",summary:l},o`
      <ul class="rows">
        ${(t??[]).map(d=>o`
          <li key=${d.id} class="row" data-testid="passkey">
            ${a===d.id?o`
              <${k} testid="rename-form" fields=${[it]} values=${d} focusFirst submitLabel="Rename"
                       busyLabel="Renaming…" onSubmit=${c=>this.rename(d.id,c)}
                       onCancel=${()=>this.show(null)} />`:a===`remove ${d.id}`?this.question("remove-passkey",`Remove ${d.name}?`,"Yes, remove it",()=>this.remove(d.id)):this.row(d)}
          </li>`)}
      </ul>
      ${s&&o`
        <div class="notice is-warning">
          <p>Get recovery codes too: you need them where this passkey does not work, or when you lose it.</p>
          <div class="card-actions">${this.button("get-codes","Get recovery codes",this.getCodes,{small:!0})}</div>
        </div>`}
      ${He()?a==="add"?o`
        <${k} key="add" testid="passkey-form" fields=${[it]} values=${{name:Bt()}} focusFirst
                 submitLabel="Add a passkey" busyLabel="Waiting for the passkey…" onSubmit=${this.add}
                 onCancel=${()=>this.show(null)} />`:o`<div class="card-actions">${this.button("add-passkey","Add a passkey",()=>this.show("add"))}</div>`:o`<${Qe} />`}`)}row({id:e,name:t,createdAt:s,lastUsedAt:a}){let i=this.props.client.serverNow(),r=a?`used ${v(a,i)}`:"not used yet";return o`
      <div class="row-text">
        <p class="row-name" data-testid="passkey-name">${t}</p>
        <p class="device-line">Added ${v(s,i)} · ${r}</p>
      </div>
      <div class="row-actions">
        ${this.button("rename-passkey","Rename",()=>this.show(e),{small:!0})}
        ${this.button("remove-passkey","Remove",()=>this.show(`remove ${e}`),{small:!0,danger:!0})}
      </div>`}};var qt={name:"currentPassword",label:"Current password",type:"password",autocomplete:"current-password"};function Yt(n){let{code:e}=b(n);if(e!=="invalid_credentials")throw n;let t=[{field:"currentPassword",message:"This is not your current password."}];throw new J({code:e,errors:t})}var G=class extends y{change=async({currentPassword:e,password:t})=>{let{revoked:s}=await this.props.client.account.changePassword({currentPassword:e,password:t}).catch(Yt),a=s?`${g(s,"other device")} logged out.`:"No other device was logged in.";this.say(`Password changed. ${a}`,{open:null})};setFirst=async({password:e})=>{try{await this.props.client.account.changePassword({password:e})}catch(t){if(!b(t).errors.some(({field:s})=>s==="currentPassword"))throw t;return this.say("Your account already has a password: enter it.",{failed:!0,open:"form"})}this.say("Password set. You can log in with it from now on.",{open:null})};render({config:e},{open:t}){let s="Changing it logs out your other devices.",a=()=>this.show(null);return this.card({id:"password",title:"Password",summary:s},t==="first"?o`
      <${k} key="first" testid="first-password-form" fields=${[_e(e)]} focusFirst
               submitLabel="Set the password" busyLabel="Setting…" onSubmit=${this.setFirst} onCancel=${a} />`:t?o`
      <${k} key="change" testid="password-form" fields=${[qt,_e(e)]} focusFirst
               submitLabel="Change the password" busyLabel="Changing…" onSubmit=${this.change} onCancel=${a} />
      <p class="field-note">You log in with a provider or a passkey, and have no password yet?${" "}
        <button class="link" type="button" data-testid="first-password" onClick=${()=>this.show("first")}>
          Set one</button></p>`:o`<div class="card-actions">
          ${this.button("change-password","Change password",()=>this.show("form"))}</div>`)}};var le=class extends y{send=e=>this.props.client.account.sendPhoneCode(e);verify=async e=>{await this.props.client.account.confirmPhone(e),this.say("You can now log in with this number.",{open:null})};remove=()=>this.run(async()=>(await this.props.client.account.removePhone(),"The number was removed from your account."));render({client:e,config:t,user:{phoneNumber:s}},{open:a}){if(s===void 0)return null;let i=s?o`<strong>${s}</strong>`:"None. Add one to log in with a code sent by SMS.";return this.card({id:"phone",title:"Phone",summary:i},a==="phone"?o`
      <${Ze} submitLabel="Use this number" isOwn client=${e} config=${t} send=${this.send} verify=${this.verify}
                     onCancel=${()=>this.show(null)} />`:a==="remove"?this.question("remove-phone",`Remove ${s}?`,"Yes, remove it",this.remove):o`
      <div class="card-actions">
        ${this.button("change-phone",s?"Change the number":"Add a number",()=>this.show("phone"))}
        ${s&&this.button("remove-phone","Remove",()=>this.show("remove"),{danger:!0})}
      </div>`)}};var Wt=({maxLengths:n})=>[{name:"name",label:"Your name",type:"text",autocomplete:"name",maxLength:n.name,hint:"Shown to others in the chat room."},{name:"username",label:"Username",type:"text",autocomplete:"off",plain:!0,optional:!0}],de=class extends y{save=async({name:e,username:t})=>{let{client:s}=this.props,a=t.trim();await s.account.edit({name:e.trim(),...a&&{username:a}}),this.say("Saved.",{open:null})};render({config:e,user:t},{open:s}){let a=[t.name??"No name yet",t.username&&`@${t.username}`].filter(Boolean).join(" \xB7 ");return this.card({id:"profile",title:"Profile",summary:a},s?o`
      <${k} testid="profile-form" fields=${Wt(e)} values=${t} focusFirst submitLabel="Save"
               busyLabel="Saving…" onSubmit=${this.save} onCancel=${()=>this.show(null)} />`:o`<div class="card-actions">${this.button("edit-profile","Edit",()=>this.show("form"))}</div>`)}};var K=class extends y{what="Two-step verification";firstState(){return{factors:null,approvals:null,setup:null}}componentDidUpdate(e,t,s){super.componentDidUpdate(e,t,s),e.passkeyChanges!==this.props.passkeyChanges&&this.load().catch(()=>{})}async load(){let{account:e}=this.props.client,[t,s]=await Promise.all([e.factors(),e.approvals()]);this.setState({factors:t,approvals:s})}setUp=()=>this.run(async()=>(this.setState({setup:await this.props.client.account.setUpTotp()}),""));enable=async({code:e})=>{let{client:t}=this.props;W(t,await t.account.enableTotp(e)),this.say("Two-step verification is on. Your other devices were logged out.",{setup:null}),await this.load()};disable=()=>this.run(async()=>(await this.props.client.account.disableTotp(),await this.load(),"The authenticator app was removed."));renewCodes=()=>this.run(async()=>{let{client:e}=this.props,t=this.state.factors.recoveryCodes!==null;return W(e,await e.account.renewRecoveryCodes()),await this.load(),t?"The old codes no longer work.":""});allowApprovals=e=>this.run(async()=>(await this.props.client.account.allowApprovals(e),await this.load(),e?"Your devices can now approve new logins.":"Your devices can no longer approve new logins."));render(e,{factors:t,setup:s,open:a,approvals:i}){return this.card({id:"two-step",title:"Two-step verification",summary:Vt(t)},o`
      ${s?this.setupForm(s):t&&a===null&&this.actions(t,i)}
      ${a==="disable"&&this.question("disable","Turn the authenticator app off?","Yes, turn it off",this.disable)}
      ${a==="codes"&&this.question("new-codes","Make new codes? The old ones will stop working.","Yes, make new ones",this.renewCodes)}`)}actions({totp:e,recoveryCodes:t,methods:s},a){let i=s.length>0;return o`
      <div class="card-actions" key="actions">
        ${e?this.button("disable-totp","Turn the app off",()=>this.show("disable"),{danger:!0}):this.button("setup-totp","Set up an authenticator app",this.setUp)}
        ${i&&this.button("new-codes",t?"New recovery codes":"Get recovery codes",t?()=>this.show("codes"):this.renewCodes)}
        ${i&&this.button("toggle-approvals",a?"Turn off login approval":"Turn on login approval",()=>this.allowApprovals(!a))}
      </div>`}copyKey=async()=>{var t;let e=((t=navigator.clipboard)==null?void 0:t.writeText(this.state.setup.secret))??Promise.reject();this.say(await e.then(()=>"Copied.",()=>"Could not copy. Select the key."))};setupForm({qrSvg:e,secret:t,uri:s}){let a=Gt();return o`
      ${a&&o`
        <a class="button primary" href=${s} data-testid="totp-open">Open in your authenticator app</a>`}
      <div class="totp" key="setup">
        <img class="totp-qr" width="200" height="200" alt="QR code for the authenticator app" data-testid="totp-qr"
             src=${Kt(e)} />
        <div>
          <p>${a?"Or scan the code with another device, or enter this key:":"Scan this with your authenticator app, or enter this key:"}</p>
          <p><code class="totp-key" data-testid="totp-secret">${t.match(/.{1,4}/g).join(" ")}</code></p>
          <button class="button small" type="button" data-testid="copy-key" onClick=${this.copyKey}>Copy the key</button>
        </div>
      </div>
      <${k} testid="totp-enable-form" fields=${[ze(this.props.config)]} submitLabel="Turn on" busyLabel="Checking…"
               focusFirst=${!a}
               onSubmit=${this.enable} onCancel=${()=>this.setState({setup:null})} />`}},Gt=()=>matchMedia("(pointer: coarse)").matches;function Kt(n){let e=n.includes("xmlns=")?n:n.replace("<svg",'<svg xmlns="http://www.w3.org/2000/svg"');return`data:image/svg+xml,${encodeURIComponent(e)}`}function Vt(n){if(!n)return"Loading\u2026";if(n.methods.length===0)return"Off. A stolen password is enough to log in.";let e=n.totp&&"Authenticator app",t=n.passkeys>0&&g(n.passkeys,"passkey"),s=n.recoveryCodes?`${g(n.recoveryCodes.left,"recovery code")} left`:"no recovery codes";return["On",e,t,s].filter(Boolean).join(" \xB7 ")}var Ht=[de,G,ae,K,re,ne,le,oe,se],ce=class extends u{state={passkeyChanges:0,isMissing:!1};#e=$();#t=$();#s=$();#o=()=>this.setState(({passkeyChanges:e})=>({passkeyChanges:e+1}));componentDidMount(){this.#e.current.focus(),this.load()}load=()=>this.props.client.me().then(()=>this.setState({isMissing:!1}),()=>this.setState({isMissing:!0}));render({user:e,notice:t,onClose:s,...a},{passkeyChanges:i,isMissing:r}){let l=new Map([[G,this.#t],[K,this.#s]]);return o`
      <section class="account" aria-labelledby="account-title" data-testid="account-view">
        <header class="account-head">
          <h1 id="account-title" tabindex="-1" ref=${this.#e}>Account</h1>
          <button class="button small" type="button" data-testid="account-close" onClick=${s}>Back</button>
        </header>
        <div role="status">
          ${t&&o`<p class=${`notice is-${t.tone}`} data-testid="account-notice">${t.text}</p>`}
        </div>
        ${!e&&r&&o`
          <${S} client=${a.client} text="Your account could not be loaded." onRetry=${this.load} />`}
        ${(t==null?void 0:t.isAlarm)&&o`
          <${ie} client=${a.client} onPassword=${()=>this.#t.current.show("form")}
                        onTwoStep=${()=>this.#s.current.base.querySelector("h2").focus()} />`}
        <div class="settings">
          ${e&&Ht.map(d=>o`<${d} key=${d.name} user=${e} ...${a} ref=${l.get(d)}
                                            passkeyChanges=${i} onPasskeys=${this.#o} />`)}
        </div>
      </section>`}};var R=({name:n,email:e})=>n||e,L=({name:n,email:e})=>n?`${n} (${e})`:e;function Te(n){return n.length===0?"No device is logged in now.":o`This logs out ${g(n.length,"device")}: <b>${Q(n)}</b>.`}var rt=({user:n,sessions:e})=>({title:`Lock ${R(n)}?`,text:o`<b>${L(n)}</b> cannot log in until you unlock the account. ${Te(e)}`,label:"Lock, and log out all devices",withReason:!0}),lt=({user:n,sessions:e})=>({title:`Remove two-step verification of ${R(n)}?`,text:o`For a user who has lost them: verify who is asking first. <b>${L(n)}</b> is notified by mail.
    ${" "}${Te(e)}`,label:"Remove, and log out all devices"}),dt=({user:n,sessions:e})=>({title:`Log out ${R(n)} everywhere?`,text:o`${Te(e)} The account is <b>${L(n)}</b>.`,label:`Log out ${g(e.length,"device")}`}),ct=({user:n},e)=>({title:`Log out ${_(e)}?`,text:o`This logs out <b>${_(e)}</b> of <b>${L(n)}</b>.`,label:"Log out"});var Qt=30,ut="An erased account",Xt=n=>new Date(n).toLocaleString([],{dateStyle:"medium",timeStyle:"short"});function pt(n,e=0){let[t,s,a]=n.split("-").map(Number);return new Date(t,s-1,a+e).toISOString()}var q=class extends u{state={events:null,next:null,problem:"",kinds:[]};#e=$();#t=0;componentDidMount(){this.read(null)}componentWillUnmount(){this.#t++}filter=e=>{e.preventDefault(),this.read(null)};async read(e){let t=++this.#t;try{let s=new URLSearchParams({limit:String(Qt),...e&&{before:e},...await this.#s()}),{events:a,next:i,people:r}=await this.props.client.call("GET",`/admin/audit?${s}`);if(t!==this.#t)return;for(let l of r)this.props.known.set(l.userId,L(l));this.setState(({events:l,kinds:d})=>({events:[...e?l:[],...a],next:i,problem:"",kinds:[...new Set([...d,...a.map(({kind:c})=>c)])].sort()}))}catch(s){t===this.#t&&this.setState({problem:w(b(s))})}}async#s(){let{userId:e}=this.props;if(e)return{userId:e};let{kind:t,person:s,from:a,to:i}=Object.fromEntries(new FormData(this.#e.current));return{...t.trim()&&{kind:ot(t)},...s.trim()&&{userId:await this.#o(s.trim())},...a&&{since:pt(a)},...i&&{until:pt(i,1)}}}async#o(e){let t=new URLSearchParams({query:e,limit:"2"}),{users:s}=await this.props.client.call("GET",`/admin/users?${t}`),a=s.find(({email:i})=>i.toLowerCase()===e.toLowerCase())??s[0];if(!a||s.length>1&&a.email.toLowerCase()!==e.toLowerCase()){let i=a?"Several accounts match.":"No account matches.";throw new J({code:"not_found",message:i})}return a.userId}render({client:e,userId:t,known:s,onPick:a},{events:i,next:r,problem:l,kinds:d}){return o`
      <div class="audit-log" data-testid="trail">
        ${!t&&o`<${Zt} form=${this.#e} kinds=${d} onFilter=${this.filter} />`}
        ${i===null&&!l&&o`<p class="empty" role="status">Loading…</p>`}
        ${(i==null?void 0:i.length)===0&&o`<p class="empty" role="status">No matches.</p>`}
        ${l&&o`<${S} client=${e} text=${l} onRetry=${()=>this.read(null)} />`}
        <ol class="rows" aria-label="Events, newest first">
          ${i==null?void 0:i.map(c=>o`
            <${zt} key=${c.id} event=${c} withUser=${!t} known=${s} onPick=${a} />`)}
        </ol>
        ${r&&o`
          <button class="button wide" type="button" data-testid="trail-more" onClick=${()=>this.read(r)}>
            Show earlier</button>`}
      </div>`}},Jt=[{name:"kind",label:"Event",type:"text",list:"trail-kinds"},{name:"person",label:"E-mail address",type:"text"},{name:"from",label:"From",type:"date"},{name:"to",label:"To",type:"date"}];function Zt({form:n,kinds:e,onFilter:t}){return o`
    <form class="audit-log-filters" role="search" ref=${n} data-testid="trail-filters" onSubmit=${t}>
      ${Jt.map(({label:s,...a})=>o`
        <label key=${a.name}>${s}
          <input ...${a} autocomplete="off" autocapitalize="none" spellcheck=${!1}
                 data-testid=${`trail-${a.name}`} /></label>`)}
      <datalist id="trail-kinds">${e.map(s=>o`<option key=${s} value=${U(s)} />`)}</datalist>
      <button class="button" type="submit" data-testid="trail-show">Show</button>
    </form>`}function zt({event:n,withUser:e,known:t,onPick:s}){let{userId:a,details:{user:i,session:r,...l}}=n,d=[B(l),i&&`account: ${t.get(i)??ut}`].filter(Boolean).join(" \xB7 ");return o`
    <li class="row" data-testid="trail-event" data-kind=${n.kind}>
      <div class="row-text">
        <p class="row-name">${U(n.kind)}</p>
        <p class="device-line"><time class="tabular" dateTime=${n.at}>${Xt(n.at)}</time>
          ${n.ip&&` \xB7 ${n.ip}`}</p>
        ${d&&o`<p class="device-line">${F(d)}</p>`}
        ${e&&a&&o`
          <p class="device-line"><button class="link breakable" type="button" data-testid="trail-account"
             onClick=${()=>s(a)}>${t.get(a)??ut}</button></p>`}
      </div>
    </li>`}var I=class extends u{#e=$();componentDidMount(){this.#e.current.focus()}render({title:e,confirmLabel:t,onConfirm:s,onCancel:a,busy:i,children:r}){return o`
      <${O} title=${e} testid="confirm" onClose=${a}>
        ${r}
        <div class="dialog-actions">
          <button class="button" type="button" data-testid="confirm-no" ref=${this.#e} onClick=${a}>
            Cancel</button>
          <button class="button danger solid" type="button" data-testid="confirm-yes" aria-disabled=${i}
                  onClick=${()=>!i&&s()}>${t}</button>
        </div>
      <//>`}};var ue=class extends u{state={whole:null,isMissing:"",result:{text:"",failed:!1},busy:!1,asking:null,trail:!1};#e=$();#t=$();componentDidMount(){this.load()}#s(e=""){return`/admin/users/${encodeURIComponent(this.props.userId)}${e}`}load=async()=>{let{client:e,known:t,userId:s,onTitle:a}=this.props;try{let i=await e.call("GET",this.#s());t.set(s,L(i.user)),this.setState({whole:i,isMissing:""},()=>{var r;(r=this.#e.current)==null||r.focus(),a()})}catch(i){this.setState({isMissing:w(b(i))})}};getSnapshotBeforeUpdate(){return document.activeElement!==document.body}componentDidUpdate(e,t,s){var a;s&&document.activeElement===document.body&&((a=this.#e.current)==null||a.focus())}async run(e){if(!this.state.busy){this.setState({busy:!0,asking:null,result:{text:"",failed:!1}});try{let{text:t,...s}=await e();this.setState(({whole:a})=>({whole:{...a,...s},result:{text:t,failed:!1}}))}catch(t){this.setState({result:{text:w(b(t)),failed:!0}})}finally{this.setState({busy:!1})}}}ask(e,t){this.state.busy||this.setState({asking:{...e,act:t}})}setRole=(e,t)=>this.run(async()=>{let s=this.state.whole.user.roles.filter(r=>r!==e),a=t?[...s,e]:s,{user:i}=await this.props.client.call("PUT",this.#s("/roles"),{roles:a});return{user:i,text:`${R(i)} is ${t?"now":"no longer"} ${e}.`}});lock=async()=>{let e=this.#t.current.value.trim();await this.run(async()=>{let t=e?{reason:e}:{},{user:s,delivery:a,revoked:i}=await this.props.client.call("POST",this.#s("/lock"),t),r=i?M(a,i):"No device was logged in.";return{user:s,sessions:[],text:`Locked. ${r}`}})};unlock=()=>this.run(async()=>{let{user:e}=await this.props.client.call("POST",this.#s("/unlock"),{});return{user:e,text:"Unlocked. The user can log in again."}});removeFactors=()=>this.run(async()=>{let{removed:e,kept:t,revoked:s,delivery:a}=await this.props.client.call("DELETE",this.#s("/factors")),i=e.map(mt).join(", "),r=e.length?`Removed: ${i}. ${s?M(a,s):""}`:"Nothing was removed.",l="A passkey was kept because it is the only login method: the user must first set a password with \u201CForgot your password?\u201D.",d=this.state.whole.factors.filter(c=>t.includes(c));return{factors:e.length?d:this.state.whole.factors,sessions:e.length?[]:this.state.whole.sessions,text:t.length?`${r} ${l}`:r}});endAll=()=>this.run(async()=>{let{revoked:e,delivery:t}=await this.props.client.call("DELETE",this.#s("/sessions"));return{sessions:[],text:M(t,e)}});endOne=e=>this.run(async()=>{let t=this.#s(`/sessions/${encodeURIComponent(e)}`),{delivery:s}=await this.props.client.call("DELETE",t);return{sessions:this.state.whole.sessions.filter(i=>i.sessionId!==e),text:M(s,1)}});render({client:e,onBack:t},{whole:s,isMissing:a,result:i,asking:r}){return o`
      <div class="admin-user" data-testid="admin-person">
        <button class="link" type="button" data-testid="admin-back" onClick=${t}>Back to all users</button>
        ${a&&o`<${S} client=${e} text=${a} onRetry=${this.load} />`}
        ${s&&o`
          <h2 tabindex="-1" ref=${this.#e} class="breakable" data-title>${R(s.user)}</h2>`}
        <p class=${`result ${i.failed?"is-error":""}`} role="status" data-testid="admin-result">${i.text}</p>
        ${s&&this.parts(this.props,this.state)}
        ${r&&this.question(r)}
      </div>`}parts({client:e,userId:t,ownUserId:s,isAdmin:a,roles:i,known:r},{whole:l,busy:d,trail:c}){return o`
      <${ts} ...${l} now=${e.serverNow()} />
      ${a&&i.length>0&&o`
        <${ss} user=${l.user} roles=${i} busy=${d} onSet=${this.setRole} />`}
      ${a&&l.user.userId!==s&&this.lockButton(l,d)}
      ${a&&l.factors.length>0&&o`
        <button class="button danger" type="button" data-testid="admin-remove-factors" aria-disabled=${d}
                onClick=${()=>this.ask(lt(l),this.removeFactors)}>Remove two-step verification…</button>`}
      <${os} sessions=${l.sessions} ownSessionId=${e.sessionId} now=${e.serverNow()}
                   busy=${d} onEndAll=${()=>this.ask(dt(l),this.endAll)}
                   onEnd=${p=>this.ask(ct(l,p),()=>this.endOne(p.sessionId))} />
      ${a&&(c?o`<h3>Audit log</h3><${q} client=${e} userId=${t} known=${r} />`:o`<button class="button" type="button" data-testid="admin-trail"
                       onClick=${()=>this.setState({trail:!0})}>Audit log of this account</button>`)}`}question({title:e,text:t,label:s,act:a,withReason:i}){return o`
      <${I} title=${e} confirmLabel=${s} onConfirm=${a}
                        onCancel=${()=>this.setState({asking:null})}>
        <p class="breakable">${t}</p>
        ${i&&o`
          <div class="field">
            <label for="lock-reason">Reason <span class="muted">optional</span></label>
            <input id="lock-reason" maxlength="200" autocomplete="off" ref=${this.#t}
                   aria-describedby="lock-reason-note" />
            <p class="field-note" id="lock-reason-note">For the audit log. The user does not see it.</p>
          </div>`}
      <//>`}lockButton(e,t){return e.user.lockedAt?o`<button class="button" type="button" data-testid="admin-unlock" aria-disabled=${t}
                          onClick=${this.unlock}>Unlock this account</button>`:o`<button class="button danger" type="button" data-testid="admin-lock" aria-disabled=${t}
                        onClick=${()=>this.ask(rt(e),this.lock)}>Lock this account…</button>`}},es={totp:"authenticator app",passkey:"passkey",recovery_code:"recovery codes"},mt=n=>es[n]??n.replaceAll("_"," ");function ts({user:n,factors:e,now:t}){let s=e.map(mt);return o`
    <dl class="facts">
      <dt>E-mail</dt><dd>${n.email}${n.emailVerified?"":" (not confirmed)"}</dd>
      ${n.username&&o`<dt>Username</dt><dd>${n.username}</dd>`}
      <dt>Two-step verification</dt><dd>${s.join(", ")||"Not set up"}</dd>
      <dt>Created</dt><dd>${v(n.createdAt,t)}</dd>
      ${n.lockedAt&&o`<dt>Locked</dt><dd>${v(n.lockedAt,t)}</dd>`}
      ${n.deletionAt&&o`<dt>Deletion</dt><dd>Requested; the data will be deleted on ${n.deletionAt.slice(0,10)}</dd>`}
    </dl>`}function ss({user:n,roles:e,busy:t,onSet:s}){let a=(i,r)=>{i.preventDefault(),s(r,!n.roles.includes(r))};return o`
    <fieldset class="roles">
      <legend>Roles</legend>
      ${e.map(i=>o`
        <label key=${i} class="check">
          <input type="checkbox" data-testid=${`role-${i}`} checked=${n.roles.includes(i)}
                 aria-disabled=${t} onClick=${r=>a(r,i)} />
          ${i}
        </label>`)}
    </fieldset>`}function os({sessions:n,ownSessionId:e,now:t,busy:s,onEnd:a,onEndAll:i}){return o`
    <h3>Sessions <span class="count tabular" data-testid="admin-session-count">${n.length}</span></h3>
    <ul class="rows">
      ${n.map(r=>o`
        <li key=${r.sessionId} class="row" data-testid="admin-session">
          <div class="row-text">
            <p class="row-name">${_(r)}${" "}
              ${r.sessionId===e&&o`<span class="badge">This session</span>`}</p>
            <p class="device-line">
              ${r.online?o`<span class="online">Online now</span>`:v(r.lastSeenAt,t)}
              ${" \xB7 "}${[A(r),r.ip].filter(Boolean).join(" \xB7 ")}</p>
          </div>
          <button class="button small" type="button" data-testid="admin-end" aria-disabled=${s}
                  aria-label=${`Log out ${_(r)}`} onClick=${()=>a(r)}>Log out…</button>
        </li>`)}
    </ul>
    ${n.length>1&&o`
      <button class="button danger" type="button" data-testid="admin-end-all" aria-disabled=${s}
              onClick=${i}>Log out everywhere…</button>`}`}var as=[{name:"url",label:"URL",type:"url",autocomplete:"off",hint:"Facts are posted here, signed."},{name:"events",label:"Facts",type:"text",autocomplete:"off",plain:!0,optional:!0,hint:"Such as session.ended, user.*; none for all."}],pe=class extends u{state={webhooks:null,waiting:{},problem:"",result:{text:"",failed:!1},secret:null,removing:null};componentDidMount(){this.props.onTitle(),this.load()}load=async()=>{let{client:e}=this.props;try{let{webhooks:t}=await e.call("GET","/admin/webhooks"),s=t.map(async({id:a})=>[a,(await e.call("GET",`/admin/webhooks/${a}/deliveries`)).deliveries]);this.setState({webhooks:t,waiting:Object.fromEntries(await Promise.all(s)),problem:""})}catch(t){this.setState({problem:w(b(t))})}};create=async({url:e,events:t})=>{let s=t.split(/[\s,]+/).filter(Boolean),{webhook:a,secret:i}=await this.props.client.call("POST","/admin/webhooks",{url:e,events:s});this.setState({secret:{id:a.id,text:i},result:{text:"Created.",failed:!1}}),await this.load()};async run(e){this.setState({removing:null,secret:null});try{this.setState({result:{text:await e(),failed:!1}}),await this.load()}catch(t){this.setState({result:{text:w(b(t)),failed:!0}})}}sendAgain=({id:e})=>this.run(async()=>{let{count:t}=await this.props.client.call("POST",`/admin/webhooks/${e}/send-again`,{});return`Sending ${g(t,"fact")} again.`});addSecret=({id:e})=>this.run(async()=>{let{secret:t}=await this.props.client.call("POST",`/admin/webhooks/${e}/secrets`,{});return this.setState({secret:{id:e,text:t}}),"Both this secret and the one before it sign from now on."});remove=({id:e})=>this.run(async()=>(await this.props.client.call("DELETE",`/admin/webhooks/${e}`),"Removed."));render({client:e},{webhooks:t,waiting:s,problem:a,result:i,secret:r,removing:l}){let d=c=>this.setState({removing:c});return o`
      <p class=${`result ${i.failed?"is-error":""}`} role="status" data-testid="webhook-result">${i.text}</p>
      ${a&&o`<${S} client=${e} text=${a} onRetry=${this.load} />`}
      ${(t==null?void 0:t.length)===0&&o`<p class="empty">No webhooks.</p>`}
      <ul class="rows" aria-label="Webhooks" aria-busy=${t===null}>
        ${t==null?void 0:t.map(c=>o`
          <${ns} key=${c.id} webhook=${c} waiting=${s[c.id]??[]} now=${e.serverNow()}
                      secret=${(r==null?void 0:r.id)===c.id?r.text:""}
                      onSendAgain=${this.sendAgain} onAddSecret=${this.addSecret} onRemove=${d} />`)}
      </ul>
      <h2>New webhook</h2>
      <${k} fields=${as} submitLabel="Create" busyLabel="Creating…" testid="webhook-form" onSubmit=${this.create} quiet resets />
      ${l&&o`
        <${I} title="Remove this webhook?" confirmLabel="Remove" onConfirm=${()=>this.remove(l)}
                          onCancel=${()=>d(null)}>
          <p class="breakable">Facts that wait for <b>${l.url}</b> are removed with it.</p>
        <//>`}`}};function ns({webhook:n,waiting:e,now:t,secret:s,onSendAgain:a,onAddSecret:i,onRemove:r}){let{url:l,events:d,format:c,failures:p,lastError:m,lastSuccessAt:f}=n,h=p?`${g(p,"failure")} in a row: ${m}`:f?`last accepted ${v(f,t)}`:"nothing sent yet",E=e.filter(N=>N.state==="failed").length;return o`
    <li class="row" data-testid="webhook">
      <div class="row-text">
        <p class="row-name breakable">${l}</p>
        <p class="device-line">${c==="set"?"security event tokens":d.join(", ")||"all facts"} · ${h}</p>
        ${e.length>0&&o`
          <p class="device-line" data-testid="webhook-waiting">${e.length-E} waiting, ${E} given up</p>`}
      </div>
      <div class="row-actions">
        ${e.length>0&&o`
          <button class="button small" type="button" data-testid="webhook-again" aria-label=${`Send again to ${l}`}
                  onClick=${()=>a(n)}>Send again</button>`}
        <button class="button small" type="button" data-testid="webhook-secret-new" aria-label=${`New secret for ${l}`}
                onClick=${()=>i(n)}>New secret</button>
        <button class="button small" type="button" data-testid="webhook-remove" aria-label=${`Remove ${l}`}
                onClick=${()=>r(n)}>Remove…</button>
      </div>
      ${s&&o`
        <p class="notice is-info" role="status">Copy this secret for the receiver now; it is not shown again:
          ${" "}<code class="breakable" data-testid="webhook-secret">${s}</code></p>`}
    </li>`}var Ee=n=>!!(n!=null&&n.roles.some(e=>e==="admin"||e==="moderator")),Y=n=>n.roles.includes("admin"),is=250,rs=20,V="audit",me="webhooks",he=class extends u{state={overview:null};#e=new Map;#t={};#s="";#o=$();componentDidMount(){this.#o.current.focus({preventScroll:!0}),this.readOverview()}componentDidUpdate({user:e}){Y(e)!==Y(this.props.user)&&this.readOverview()}async readOverview(){let{client:e,user:t}=this.props,s=Y(t)?await e.call("GET","/admin/overview").catch(()=>null):null;this.setState({overview:s})}pick=e=>{this.#s=e,this.props.onPart(e)};remember=e=>{this.#t=e};render({client:e,user:t,part:s,onPart:a,onTitle:i,onClose:r},{overview:l}){let d=Y(t)&&(s===V||s===me)?s:"",c=(l==null?void 0:l.roles)??[];return o`
      <section class="card admin-view" aria-labelledby="admin-title" data-testid="admin-view">
        <header class="view-head">
          <h1 id="admin-title" tabindex="-1" ref=${this.#o}>Administration</h1>
          <button class="button small" type="button" data-testid="admin-close" onClick=${r}>Close</button>
        </header>
        ${l&&o`<${ls} ...${l} />`}
        ${Y(t)&&o`
          <div class="switch" role="group" aria-label="View">
            ${[["people","People",""],["audit","Audit log",V],["webhooks","Webhooks",me]].map(([p,m,f])=>o`
              <button key=${p} class="button small" type="button" data-testid=${`admin-${p}`}
                      aria-pressed=${d===f} onClick=${()=>a(f)}>${m}</button>`)}
          </div>`}
        ${d===me?o`<${pe} client=${e} onTitle=${i} />`:d===V?o`<${q} key=${V} client=${e} known=${this.#e} onPick=${this.pick} />`:s&&s!==V&&s!==me?o`
            <${ue} key=${s} client=${e} userId=${s} ownUserId=${t.userId} known=${this.#e}
                          isAdmin=${Y(t)} roles=${c} onTitle=${i} onBack=${()=>a("")} />`:o`
            <${Le} key="people" client=${e} roles=${c} known=${this.#e} search=${this.#t}
                       picked=${this.#s} onSearch=${this.remember} onPick=${this.pick} onTitle=${i} />`}
      </section>`}};function ls({nodes:n,sockets:e,queue:t,jobsDashboardUrl:s}){let a=[g(n,"node"),g(e,"live connection"),`${t.queued} jobs waiting`];return o`
    <p class="muted admin-glance" data-testid="admin-overview">${a.join(" \xB7 ")}
      ${s&&o` · <a href=${s} rel="noreferrer" target="_blank">Job queue</a>`}</p>`}var Le=class extends u{state={users:null,next:null,problem:""};#e=$();#t=0;async componentDidMount(){var e;this.props.onTitle(),await this.find(),document.activeElement.matches("body, h1")&&((e=document.querySelector("[data-picked] button"))==null||e.focus())}componentWillUnmount(){clearTimeout(this.timer),this.#t++}type=()=>{clearTimeout(this.timer),this.timer=setTimeout(this.find,is)};submit=e=>{e.preventDefault(),this.find()};find=()=>this.#s(null);async#s(e){clearTimeout(this.timer);let t=++this.#t,s=[...new FormData(this.#e.current)].map(([r,l])=>[r,String(l).trim()]),a=Object.fromEntries(s.filter(([,r])=>r));this.props.onSearch(a);let i=new URLSearchParams({limit:String(rs),...e&&{before:e},...a});try{let{users:r,next:l}=await this.props.client.call("GET",`/admin/users?${i}`);if(t!==this.#t)return;for(let c of r)this.props.known.set(c.userId,L(c));let d=e?this.state.users??[]:[];this.setState({users:[...d,...r],next:l,problem:""})}catch(r){t===this.#t&&this.setState({problem:w(b(r))})}}render({client:e,roles:t,search:s,picked:a,onPick:i},{users:r,next:l,problem:d}){return o`
      <form class="admin-search" role="search" ref=${this.#e} onSubmit=${this.submit}>
        <div class="field">
          <label for="admin-query">Find people</label>
          <input id="admin-query" name="query" type="search" autocomplete="off" spellcheck=${!1}
                 placeholder="Name or e-mail address" data-testid="admin-query" defaultValue=${s.query??""}
                 onInput=${this.type} />
        </div>
        <div class="admin-filters">
          ${t.length>0&&o`
            <${ht} name="role" label="Role" initial=${s.role} onChange=${this.find}
                       options=${[["","Any role"],...t.map(c=>[c,c])]} />`}
          <${ht} name="locked" label="State" initial=${s.locked} onChange=${this.find}
                     options=${[["","Any state"],["true","Locked"],["false","Not locked"]]} />
        </div>
      </form>
      ${d&&o`<${S} client=${e} text=${d} onRetry=${this.find} />`}
      ${(r==null?void 0:r.length)===0&&o`<p class="empty" role="status">No matches.</p>`}
      <ul class="rows" data-testid="admin-users" aria-label="People" aria-busy=${r===null}>
        ${r==null?void 0:r.map(c=>o`
          <${ds} key=${c.userId} user=${c} isPicked=${c.userId===a} onPick=${i} />`)}
      </ul>
      ${l&&o`
        <button class="button wide" type="button" data-testid="admin-more" onClick=${()=>this.#s(l)}>
          Show more</button>`}`}};function ht({name:n,label:e,initial:t="",options:s,onChange:a}){return o`
    <label class="choice"><span class="visually-hidden">${e}</span>
      <select name=${n} data-testid=${`admin-${n}`} onChange=${a}>
        ${s.map(([i,r])=>o`<option key=${i} value=${i} selected=${i===t}>${r}</option>`)}
      </select>
    </label>`}function ds({user:n,isPicked:e,onPick:t}){let{userId:s,email:a,name:i,roles:r,lockedAt:l,online:d}=n;return o`
    <li class="row" data-testid="admin-user" data-locked=${String(l!==null)} data-picked=${e||void 0}>
      <button class="row-button" type="button" onClick=${()=>t(s)}>
        <span class="row-name">${R(n)}${" "}
          ${l&&o`<span class="badge is-danger">Locked</span>${" "}`}
          ${r.map(c=>o`<span key=${c} class="badge">${c}</span>${" "}`)}
        </span>
        <span class="device-line">${i?a:""}${i&&d?" \xB7 ":""}
          ${d&&o`<span class="online">Online now</span>`}</span>
      </button>
    </li>`}function $t({alerts:n,onNotMe:e,onSeen:t}){let[s]=n;if(!s)return null;let{key:a,text:i,suspect:r,kinds:l}=s,d=!r&&(l!=null&&l.some(Fe))?" Already logged out.":"";return o`
    <div class="banner is-warning" key=${a} data-testid="alert-banner">
      <p>${i}${d} ${n.length>1&&o`<span class="count tabular">1 of ${n.length}</span>`}</p>
      ${r&&o`
        <button class="button small danger solid" type="button" data-testid="alert-not-me"
                onClick=${()=>e(r)}>This wasn’t me</button>`}
      <button class="button small" type="button" data-testid="alert-seen" onClick=${()=>t(a)}>
        ${r?"It was me":"Close"}</button>
    </div>`}var ft={online:"Online",away:"Away",busy:"Busy",invisible:"Invisible"},cs=100,De=8;function bt({members:n,people:{presence:e,own:t},userId:s,isLive:a,onOwn:i}){let r=n.filter(l=>l.userId!==s);return o`
    <ul class="people" data-testid="chat-members" aria-label="In the room">
      ${r.length===0&&n.length>0&&o`<li class="muted">Only you are here</li>`}
      ${r.slice(0,De).map(({userId:l,name:d})=>o`<${us} key=${l} name=${d} presence=${e[l]} />`)}
      ${r.length>De&&o`<li class="muted">and ${r.length-De} more</li>`}
    </ul>
    ${t&&o`<${Oe} own=${t} isLive=${a} onOwn=${i} />`}`}function us({name:n,presence:e}){let t=e!=null&&e.online?e.state??"online":"offline";return o`
    <li class="person" data-state=${e&&t}>
      <span class="state-dot" aria-hidden="true"></span>${n}
      ${e&&o`<span class="visually-hidden">, ${(ft[t]??"Offline").toLowerCase()}</span>`}
      ${(e==null?void 0:e.online)&&e.text&&o`<span class="muted">${e.text}</span>`}
    </li>`}var Oe=class extends u{state={problem:""};save=async e=>{e.preventDefault();let{state:t,text:s}=Object.fromEntries(new FormData(e.currentTarget.form??e.currentTarget));try{await this.props.onOwn(String(t),String(s).trim()),this.setState({problem:""})}catch{this.setState({problem:"Not saved. Try again."})}};render({own:{state:e,text:t=""},isLive:s},{problem:a}){return o`
      <form class="own-state" onSubmit=${this.save} data-state=${e}>
        <span class="state-dot" aria-hidden="true"></span>
        <label class="visually-hidden" for="own-state">Your state, as others see it</label>
        <select id="own-state" name="state" disabled=${!s} data-testid="own-state" onChange=${this.save}>
          ${Object.entries(ft).map(([i,r])=>o`
            <option key=${i} value=${i} selected=${i===e}>${r}</option>`)}
        </select>
        <label class="visually-hidden" for="own-state-text">What you are doing, for others to read</label>
        <input id="own-state-text" name="text" value=${t} maxlength=${cs} disabled=${!s} autocomplete="off"
               placeholder="What are you doing?" data-testid="own-state-text" onChange=${this.save} />
        ${a&&o`<p role="alert">${a}</p>`}
      </form>`}};function wt({members:n,typing:e}){let t=n.filter(({userId:s})=>e.includes(s)).map(({name:s})=>s);return o`
    <p class="muted typing-line" role="status" data-testid="chat-typing">
      ${t.length>2?`${t.length} people are typing\u2026`:t.length>0&&`${t.join(" and ")} ${t.length===1?"is":"are"} typing\u2026`}
    </p>`}var ps=80,ms=5*6e4,$e=class extends u{#e=$();#t=!0;onScroll=({currentTarget:{scrollTop:e,scrollHeight:t,clientHeight:s}})=>{this.#t=t-e-s<ps};componentDidUpdate(){this.#t&&(this.#e.current.scrollTop=this.#e.current.scrollHeight)}send=e=>{this.#t=!0,this.props.onSend(e)};render({chat:e,userId:t,isLive:s,people:a,onSendAgain:i}){let{messages:r,members:l,outgoing:d}=e;return o`
      <section class="card chat-card" aria-labelledby="chat-title">
        <header class="chat-head">
          <h2 id="chat-title">Chat room</h2>
          <${bt} members=${l} people=${e.people} userId=${t} isLive=${s}
                             onOwn=${(c,p)=>a.setOwn(c,p)} />
        </header>
        <div class="chat-scroll" ref=${this.#e} onScroll=${this.onScroll} tabindex="0" role="region"
             aria-label="Messages">
          ${r.length+d.length===0&&o`<${hs} joined=${e.joined} />`}
          <div role="log" aria-live="polite" aria-label="Messages received">
            <ol class="messages" data-testid="chat-messages">
              ${r.map((c,p)=>o`
                <${fs} key=${c.messageId} message=${c} isOwn=${c.userId===t}
                            isContinued=${$s(r[p-1],c)} />`)}
            </ol>
          </div>
          <ol class="messages" aria-label="Messages not sent yet">
            ${d.map(c=>o`
              <${bs} key=${c.key} ...${c} onAgain=${()=>i(c.key)} />`)}
          </ol>
        </div>
        <${wt} members=${l} typing=${e.people.typing} />
        <${Re} onSend=${this.send} onTyping=${c=>a.type(c)} isLive=${s} maxLength=${e.maxTextLength} />
      </section>`}};function hs({joined:n}){return o`
    <div class="chat-empty"><${z} />
      <p>${n?"No messages yet. Say hello.":"Joining the room\u2026"}</p>
    </div>`}function $s(n,{userId:e,at:t}){return(n==null?void 0:n.userId)===e&&Date.parse(t)-Date.parse(n.at)<ms}function fs({message:{messageId:n,name:e,text:t,at:s},isOwn:a,isContinued:i}){return o`
    <li class=${`message ${a?"is-own":""} ${i?"is-continued":""}`} data-testid="chat-message"
        data-message-id=${n}>
      <p class=${`message-head ${i?"visually-hidden":""}`}>
        <span class="message-name">${a?"You":e}</span>
        <time class="muted tabular" dateTime=${s}>${T(s)}</time>
      </p>
      <p class="message-text" data-testid="chat-text">${t}</p>
    </li>`}function bs({text:n,status:e,problem:t,onAgain:s}){return o`
    <li class="message is-own is-outgoing" data-testid="chat-outgoing" data-status=${e}>
      <p class="message-text">${n}</p>
      <p class="message-status" role=${e==="waiting"?void 0:"alert"}>
        ${e==="waiting"?"Sending\u2026":t??"The connection was lost before this was confirmed."}
        ${e!=="waiting"&&o` <button class="link" type="button" onClick=${s}>Send again</button>`}
      </p>
    </li>`}var Re=class extends u{state={text:""};submit=e=>{e.preventDefault();let t=this.state.text.trim();t&&(this.props.onSend(t),this.setState({text:""}))};write=({currentTarget:{value:e}})=>{this.setState({text:e}),this.props.onTyping(e.trim()!=="")};render({isLive:e,maxLength:t},{text:s}){return o`
      <form class="composer" onSubmit=${this.submit}>
        <label class="visually-hidden" for="chat-input">Message</label>
        <input id="chat-input" class="composer-input" value=${s} maxlength=${t} autocomplete="off"
               placeholder=${e?"Write a message":"Not connected: messages are queued"} data-testid="chat-input"
               enterkeyhint="send" onInput=${this.write} />
        <button class="button primary icon-only" type="submit" data-testid="chat-send" aria-disabled=${!s.trim()}>
          <${Ge} /><span class="visually-hidden">Send</span>
        </button>
      </form>`}};var ws=4e3,fe=class extends u{state={remainingMs:0,lifetimeMs:0,renewed:!1};#e=$();componentDidMount(){let{client:e}=this.props;this.timer=setInterval(this.tick,250),this.stop=e.on("reauthenticated",this.flash),this.tick()}componentWillUnmount(){clearInterval(this.timer),clearTimeout(this.flashTimer),this.stop()}tick=()=>{let e=this.props.client.tokenLife(),t=e.lifetimeMs?Math.min(e.remainingMs/e.lifetimeMs,1):0;this.#e.current.style.transform=`scaleX(${t.toFixed(4)})`,j(e.remainingMs)!==j(this.state.remainingMs)&&this.setState(e)};flash=()=>{clearTimeout(this.flashTimer),this.setState({renewed:!0}),this.flashTimer=setTimeout(()=>this.setState({renewed:!1}),ws),this.tick()};render({connection:e,reauthentications:t},{remainingMs:s,renewed:a}){return o`
      <section class="card connection-card" aria-labelledby="link-title" data-testid="link-card">
        <h2 id="link-title">This connection</h2>
        <div class="token-life">
          <p class=${`token-life-label ${a?"is-renewed":""}`} data-testid="token-label">
            ${a?"Access token renewed in place":"Access token is renewed in"}
          </p>
          <p class="token-life-time tabular" role="timer" aria-live="off" data-testid="token-countdown"
             data-remaining-ms=${Math.round(s)}>${j(s)}</p>
        </div>
        <div class=${`token-life-bar ${a?"is-renewed":""}`} aria-hidden="true" data-testid="token-bar">
          <div class="token-life-bar-fill" ref=${this.#e}></div>
        </div>
        <dl class="facts">
          <dt>Socket</dt>
          <dd><code data-testid="socket-id">${e.socketId??"none"}</code></dd>
          <dt>Renewals</dt>
          <dd data-testid="reauth-count" data-count=${t}>${ys(t)}</dd>
        </dl>
      </section>`}};function ys(n){return n===0?"Not needed yet":`re-authenticated ${n} time${n===1?"":"s"}, same socket`}var gs={idle:"Starting",restoring:"Opening",connecting:"Connecting",live:"Live",expired:"Renewing",waiting:"Reconnecting","logged-out":"Logged out",ended:"Logged out"},Ie=({state:n,code:e})=>n==="waiting"&&e==="closing";function yt({connection:n}){return o`
    <p class=${`pill is-${n.state}`} role="status" data-testid="connection-state" data-state=${n.state}
       title=${n.code?`Last error: ${n.code}`:"State of the live connection"}>
      <span class="pill-dot" aria-hidden="true"></span>
      <span><span class="visually-hidden">Connection: </span>${Ie(n)?"Closed":gs[n.state]}</span>
    </p>`}function gt({connection:n,text:e,onReconnect:t}){return Ie(n)?o`
    <div class="banner is-warning" data-testid="closed-banner">
      <p>${e}</p>
      <button class="button small" type="button" data-testid="reconnect" onClick=${t}>Connect again</button>
    </div>`:null}var be=class extends u{state={problem:""};keep=async()=>{try{await this.props.client.account.restore()}catch(e){this.setState({problem:w(b(e))})}};render({user:e},{problem:t}){return e!=null&&e.deletionAt?o`
      <div class="banner" data-testid="deletion-banner">
        Your account will be deleted on ${P(e.deletionAt)}. ${t}${" "}
        <button class="button small" type="button" data-testid="keep-account" onClick=${this.keep}>
          Keep my account</button>
      </div>`:null}};var we=class extends u{state={isOpen:!1};#e=$();close=()=>this.setState({isOpen:!1},()=>{var e;return(e=this.#e.current)==null?void 0:e.focus()});rename=async({deviceName:e})=>{await this.props.client.renameDevice(this.props.session.sessionId,e),this.close()};closeByKey=e=>{e.key==="Escape"&&this.close()};render({name:e,maxLength:t},{isOpen:s}){if(!s)return o`
        <button class="link device-line" type="button" data-testid="device-rename" ref=${this.#e}
                aria-label=${`Rename ${e}`} onClick=${()=>this.setState({isOpen:!0})}>Rename</button>`;let a={name:"deviceName",label:"Device name",type:"text",autocomplete:"off",maxLength:t};return o`
      <div class="device-rename" onKeyDown=${this.closeByKey}>
        <${k} testid="device-rename-form" fields=${[a]} values=${{deviceName:e}} submitLabel="Rename"
                 busyLabel="Renaming…" focusFirst onSubmit=${this.rename} onCancel=${this.close} />
      </div>`}};var vs={desktop:Z,phone:qe,tablet:Ye},ks=1e4,ye={text:"",failed:!1},ge=class extends u{state={result:ye,busy:null,confirming:!1,pressed:null};#e=$();#t=$();componentDidMount(){this.timer=setInterval(()=>this.forceUpdate(),ks)}componentWillUnmount(){clearInterval(this.timer)}getSnapshotBeforeUpdate(){var t;let e=document.activeElement;return(t=this.base)!=null&&t.contains(e)?{focused:e,selection:e.matches("input")?[e.selectionStart,e.selectionEnd]:null}:null}componentDidUpdate({asOf:e},t,s){if(e!==null&&this.props.asOf===null&&this.state.result.failed&&this.setState({result:ye}),!s||document.activeElement!==document.body)return;let{focused:a,selection:i}=s,r=a.isConnected?a:this.#t.current??this.#e.current;r.focus({preventScroll:!0}),r===a&&i&&a.setSelectionRange(...i)}async run(e,t,s,a=null){if(!this.state.busy){this.setState({busy:e,confirming:!1,result:ye,pressed:a});try{let[i,r]=await s();this.setState({result:{text:i?M(i,r):"",failed:!1}}),this.props.onDone(i?`${t}. ${Ve(i,r)}`:`${t}.`)}catch(i){let r=b(i),l=r.code==="not_found";this.setState({result:{text:l?"Already logged out.":w(r),failed:!l}})}finally{this.setState({busy:null})}}}endOne=(e,t)=>this.run(e.sessionId,`You logged out ${_(e)}`,async()=>[await this.props.client.revoke(e.sessionId),1],{session:e,place:t});endOthers=()=>this.run("others","You logged out all other devices",async()=>{let{revoked:e,delivery:t}=await this.props.client.revokeOthers();return[t,e]});endAll=()=>this.run("all","You logged out everywhere",async()=>(await this.props.client.logoutAll(),[null,0]));close=()=>this.setState({pressed:null,result:ye});render({client:e,devices:t,asOf:s},{result:a,busy:i,confirming:r,pressed:l}){let{sessions:d,version:c}=t;return o`
      <section class=${`card devices-card ${s===null?"":"is-stale"}`} aria-labelledby="devices-title"
               data-testid="devices-card">
        <header class="devices-head">
          <h2 id="devices-title" tabindex="-1" ref=${this.#e}>
            Devices <span class="count tabular" data-testid="device-count">${d.length}</span>
          </h2>
          ${s!==null&&o`<p class="as-of" data-testid="devices-as-of">As of ${T(s)}</p>`}
          ${this.buttons(d.length,i)}
        </header>
        <p class=${l?"visually-hidden":`result ${a.failed?"is-error":""}`} role="status"
           data-testid="devices-result">${a.text}</p>
        ${c===null&&d.length===0&&o`<p class="empty">Loading your devices…</p>`}
        <ul class="devices" data-testid="device-list" aria-busy=${t.stale}>${this.rows(e.serverNow())}</ul>
        ${d.length===1&&o`<p class="empty">Log in from another browser, and it appears here at once.</p>`}
        ${d.some(p=>p.location)&&o`
          <p class="attribution"><a href="https://db-ip.com" rel="noreferrer">IP Geolocation by DB-IP</a></p>`}
        ${r&&this.confirmation(d)}
      </section>`}rows(e){let{busy:t,pressed:s,result:a}=this.state,{client:i,config:r,devices:{sessions:l},asOf:d}=this.props,c=s==null?void 0:s.session.sessionId,p=l.map((m,f)=>o`
      <${Ss} key=${m.sessionId} client=${i} config=${r} session=${m} now=${e} asOf=${d}
                    busy=${t===m.sessionId} problem=${m.sessionId===c&&a.failed?a.text:""}
                    onEnd=${()=>this.endOne(m,f)} />`);return s&&!l.some(({sessionId:m})=>m===c)&&p.splice(s.place,0,this.outcome(s.session,a)),p}outcome(e,{text:t,failed:s}){return o`
      <li class="device device-outcome" key="outcome" tabindex="-1" ref=${this.#t} data-testid="device-outcome">
        <p class="device-name">${_(e)}</p>
        <button class="button small" type="button" data-testid="outcome-close" onClick=${this.close}>Close</button>
        <p class=${`result ${s?"is-error":""}`}>${t||"Logging out\u2026"}</p>
      </li>`}buttons(e,t){return o`
      <div class="card-actions">
        <button class="button small" type="button" data-testid="logout-others" aria-disabled=${e<2||t!==null}
                onClick=${()=>e>1&&this.endOthers()}>Log out all others</button>
        <button class="button small danger" type="button" data-testid="logout-all" aria-disabled=${t!==null}
                onClick=${()=>this.setState({confirming:!0})}>Log out everywhere…</button>
      </div>`}confirmation(e){let t=e.length;return o`
      <${I} title="Log out everywhere?" confirmLabel=${t>1?`Log out ${t} devices`:"Log out"}
                        onConfirm=${this.endAll} onCancel=${()=>this.setState({confirming:!1})}>
        <p>${t>1?o`This logs out ${t} devices, including this one: <b>${Q(e)}</b>.`:"This logs out this device. No other device is logged in."}</p>
      <//>`}};function Ss({client:n,config:e,session:t,now:s,asOf:a,busy:i,problem:r,onEnd:l}){let{device:d,isCurrent:c,ip:p}=t,m=vs[d.kind]??We,f=_(t),h=D(t),E=[A(t),p].filter(Boolean).join(" \xB7 "),N=t.online&&a===null;return o`
    <li class="device" data-testid="device" data-session-id=${t.sessionId} data-current=${String(c)}
        data-online=${String(N)}>
      <div class="device-icon">
        <${m} /><span class=${`dot ${N?"is-online":""}`} aria-hidden="true"></span>
      </div>
      <p class="device-name"><span data-testid="device-name">${f}</span>
        ${c&&o` <span class="badge" data-testid="this-device">This device</span>`}</p>
      <button class="button small" type="button" data-testid="device-logout" aria-disabled=${i} onClick=${l}
              aria-label=${c?"Log out this device":`Log out ${f}`}>
        ${i?"Logging out\u2026":"Log out"}
      </button>
      <div class="device-lines">
        ${h&&h!==f&&o`<p class="device-line">${h}</p>`}
        <p class="device-line" data-testid="device-place">${E||"Unknown place"}</p>
        <p class="device-line" data-testid="device-seen">
          ${N?o`<span class="online">Online now</span>`:t.online?`Online at ${T(a)}`:`Last seen ${v(t.lastSeenAt,s)}`}
          ${" \xB7 "}<time dateTime=${t.loggedInAt}>logged in ${v(t.loggedInAt,s)}</time></p>
        <${we} client=${n} session=${t} name=${f} maxLength=${e.maxLengths.deviceName} />
        ${r&&o`<p class="result is-error" data-testid="device-problem">${r}</p>`}
      </div>
    </li>`}var Cs={step_up_required:"The device was not approved. Confirm it\u2019s you first."},ve=class extends u{state={busy:!1,denying:!1,problem:""};componentDidMount(){this.timer=setInterval(()=>this.tick(),500)}componentWillUnmount(){clearInterval(this.timer)}#e(){return Date.parse(this.props.request.expiresAt)-this.props.client.serverNow()}tick(){if(this.#e()<=0)return this.props.onClosed("A new device asked for approval. The request expired.");this.forceUpdate()}answer=async e=>{if(this.state.busy)return;let{onAnswer:t,onClosed:s,onDenied:a}=this.props;this.setState({busy:!0,problem:""});try{let{status:i,tryAgain:r}=await t(e);if(r)return s("You chose a wrong number for a new device.");s(i==="approved"?"You approved a new device.":"You denied a new device."),i==="denied"&&a()}catch(i){let r=b(i);if(r.code==="not_found")return s("A new device asked for approval. The request has ended.");this.setState({busy:!1,problem:Cs[r.code]??w(r)})}};render({request:e,onClosed:t},{busy:s,denying:a,problem:i}){let r=[A(e),e.ip].filter(Boolean).join(" \xB7 ");return o`
      <${O} title="Are you logging in on another device?" testid="approval" unasked
                 onClose=${()=>t(null)}>
        <dl class="facts">
          <dt>Device</dt><dd data-testid="approval-device">${D(e)||"Unknown"}</dd>
          <dt>From</dt><dd>${r||"Unknown place"}</dd>
          <dt>Time left</dt><dd class="tabular">${j(this.#e())}</dd>
        </dl>
        ${e.afterWrongNumber?o`
          <p class="notice is-warning" data-testid="approval-again">That number was wrong. The other device now shows a
            new one. Another wrong number denies the login.</p>
          <p>Choose the new number it shows:</p>`:o`<p>Choose the number it shows:</p>`}
        <div class="approval-choices">
          ${e.numbers.map(l=>o`
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
            <button class="button" type="button" data-testid="approval-back" ref=${xs}
                    onClick=${()=>this.setState({denying:!1})}>Back</button>
          </div>`:o`
          <button class="button danger wide" type="button" data-testid="approval-not-me"
                  onClick=${()=>this.setState({denying:!0})}>Not me</button>`}
      <//>`}},xs=n=>n==null?void 0:n.focus();var _s={account:"This changes how your account is protected.",approval:"Confirm it\u2019s you to let this device in."};function vt({client:n,config:e,methods:t,purpose:s,onDone:a}){let i=async r=>{await n.stepUp(r),a(!0)};return o`
    <${O} title="Confirm it’s you" testid="step-up" onClose=${()=>a(!1)}>
      <p class="muted">${_s[s]}</p>
      <${et} config=${e} methods=${t} submitLabel="Continue" onAnswer=${i}
                     passkeyOptions=${n.account.stepUpOptions} />
      <button class="button wide" type="button" data-testid="step-up-cancel" onClick=${()=>a(!1)}>
        Cancel</button>
    <//>`}function kt({client:n,config:e,stepUp:t,approvals:[s],onAnswer:a,onDenied:i,onClosed:r}){return o`
    ${s&&o`
      <${ve} key=${s.approvalId} client=${n} request=${s}
                         onAnswer=${l=>a(s,l)} onDenied=${i}
                         onClosed=${l=>r(s.approvalId,l)} />`}
    ${t&&o`<${vt} client=${n} config=${e} ...${t} />`}`}var As=10,Ts=new Set(["login_failed","login_disowned","refresh_reused","refresh_elsewhere","impossible_travel","rapid_refresh","passkey_copied","approval_denied"]),ke=class extends u{state={recorded:[],next:null,isMissing:!1,isLoading:!0};#e=0;componentDidMount(){this.stop=this.props.client.on("ready",({recovered:e})=>{e||this.read(null)}),this.props.client.state.state==="live"&&this.read(null)}componentWillUnmount(){this.stop(),this.#e++}async read(e){let t=++this.#e;this.setState({isMissing:!1,isLoading:!0});let s=await this.props.client.account.securityLog({limit:As,before:e}).catch(()=>null);t===this.#e&&this.setState(({recorded:a,next:i})=>s?{recorded:e?[...a,...s.events]:s.events,next:s.next,isLoading:!1}:{recorded:a,next:i,isMissing:!0,isLoading:!1})}render({client:e,entries:t,onNotMe:s},{recorded:a,next:i,isMissing:r,isLoading:l}){let d=e.serverNow();return o`
      <section class="card security-log-card" aria-labelledby="activity-title">
        <h2 id="activity-title">Security log</h2>
        <div role="log" aria-live="polite" aria-relevant="additions" aria-labelledby="activity-title"
             data-testid="security-log">
          <ul class="security-log">
            ${t.map(({key:c,at:p,tone:m,text:f,suspect:h})=>o`
              <${St} key=${c} testid="security-entry" at=${p} now=${d} tone=${m} text=${f}>
                ${h&&o`
                  <button class="button small danger" type="button" data-testid="not-me"
                          onClick=${()=>s(h)}>This wasn’t me</button>`}
              <//>`)}
          </ul>
        </div>
        <ul class="security-log" aria-label="Recorded events" aria-busy=${l}>
          ${a.map(c=>o`
            <${St} key=${c.id} testid="recorded-event" at=${Date.parse(c.at)} now=${d}
                    tone=${Ts.has(c.kind)?"warning":"info"} text=${Ls(c)} />`)}
        </ul>
        ${r&&o`
          <${S} client=${e} text="Recorded events could not be loaded." onRetry=${()=>this.read(i)} />`}
        ${!r&&i&&o`
          <button class="button small" type="button" data-testid="recorded-more" aria-disabled=${l}
                  onClick=${()=>!l&&this.read(i)}>Show earlier</button>`}
        ${!r&&!l&&t.length+a.length===0&&o`
          <p class="empty with-icon"><${ee} />No events yet. Logins, logouts and alerts appear here.</p>`}
      </section>`}};function St({testid:n,at:e,now:t,tone:s,text:a,children:i}){let r=new Date(e).toDateString()===new Date(t).toDateString();return o`
    <li class=${`security-log-entry is-${s}`} data-testid=${n} data-tone=${s}>
      <time class="tabular" dateTime=${new Date(e).toISOString()}>
        ${r?T(e):o`${Ue(e)}<br />${T(e)}`}</time>
      <span>${a}</span>
      ${i}
    </li>`}function Ls(n){let e=[D(n),A(n),n.ip].filter(Boolean).join(", ");return[U(n.kind),e,B(n.details)].filter(Boolean).join(" \xB7 ")}var Es=[{id:"devices",label:"Devices",Icon:Z},{id:"security",label:"Security",Icon:ee},{id:"chat",label:"Chat",Icon:z}],Ds={view:"account",part:""},Os={view:"admin",part:""},Ct=class extends u{#e=$();#t=Ce;componentDidMount(){this.#e.current.contains(document.activeElement)||this.#e.current.focus({preventScroll:!0})}componentDidUpdate({model:e}){e.route.view!==this.props.model.route.view&&scrollTo(0,0)}skip=e=>{e.preventDefault(),je()};render({model:e,client:t,room:s,dialogs:a,onLogout:i,onDone:r,onNotMe:l,onSeen:d,onGo:c,onTitle:p}){let{config:m,connection:f,user:h,userId:E,devices:N,chat:_t,entries:Ne,reauthentications:At,problem:Pe,closed:Tt,asOf:Lt}=e,C=e.route.view==="admin"&&!Ee(h)?Ce:e.route;xe(C)&&(this.#t=C);let H=()=>c(this.#t),Et=xe(C)?"h1":"p";return o`
      <div class=${`logged-in shows-${C.view}`} data-testid="app">
        <a class="skip" href="#main" onClick=${this.skip}>Skip to content</a>
        <div class="head">
          <header class="topbar">
            <div class="brand"><${Ke} /><${Et} class="brand-name">Vigil<//></div>
            <${yt} connection=${f} />
            <p class="who" data-testid="user-name" title=${h==null?void 0:h.email}>${(h==null?void 0:h.name)||(h==null?void 0:h.email)||""}</p>
            ${Ee(h)&&o`<${xt} label="Admin" to=${Os} route=${C} close=${H} onGo=${c} />`}
            <${xt} label="Account" to=${Ds} route=${C} close=${H} onGo=${c} />
            <button class="button small" type="button" data-testid="logout" onClick=${i}>Log out</button>
          </header>
          <div class="banner-place" role="alert">
            ${Pe&&o`<p class="banner" data-testid="problem">${Pe}</p>`}
            <${gt} connection=${f} text=${Tt} onReconnect=${()=>t.reconnect()} />
            <${be} client=${t} user=${h} />
            <${$t} alerts=${Be(Ne)} onNotMe=${l} onSeen=${d} />
          </div>
        </div>
        <main class="panes" id="main" tabindex="-1" ref=${this.#e}>
          <div class="pane pane-devices">
            <${ge} client=${t} config=${m} devices=${N} asOf=${Lt} onDone=${r} />
          </div>
          <div class="pane pane-security">
            <${fe} client=${t} connection=${f} reauthentications=${At} />
            <${ke} client=${t} entries=${Ne} onNotMe=${l} />
          </div>
          <div class="pane pane-chat">
            <${$e} chat=${_t} userId=${E} isLive=${f.state==="live"}
                         people=${s.people} onSend=${x=>s.send(x)} onSendAgain=${x=>s.sendAgain(x)} />
          </div>
          ${C.view==="account"&&o`
            <div class="pane-whole">
              <${ce} client=${t} config=${m} user=${h} notice=${e.notice} onDone=${r}
                              onClose=${H} />
            </div>`}
          ${C.view==="admin"&&o`
            <div class="pane-whole">
              <${he} client=${t} user=${h} part=${C.part} onClose=${H} onTitle=${p}
                            onPart=${x=>c({view:"admin",part:x})} />
            </div>`}
        </main>
        <nav class="tabbar" aria-label="Views">
          ${Es.map(({id:x,label:Dt,Icon:Ot})=>o`
            <button key=${x} class="tab" type="button" data-testid=${`pane-${x}`}
                    aria-current=${C.view===x?"page":void 0}
                    onClick=${()=>c({view:x,part:""})}><${Ot} />${Dt}</button>`)}
        </nav>
      </div>
      <${kt} client=${t} config=${m} stepUp=${e.stepUp} approvals=${e.approvals} ...${a} />`}};function xt({label:n,to:e,route:t,close:s,onGo:a}){let i=t.view===e.view;return o`
    <button class="button small" type="button" data-testid=${e.view} aria-pressed=${i}
            onClick=${i?s:()=>a(e)}>${n}</button>`}export{Ct as LoggedInView};
